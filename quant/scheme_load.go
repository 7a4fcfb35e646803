package quant

import (
	"embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed schemes/*.yaml
var builtin embed.FS

// maxChain is how many schemes may extend each other.
const maxChain = 8

// DefaultScheme is the scheme of `--scheme` without a name.
const DefaultScheme = "w8a8"

// BuiltinSchemes lists the names of the schemes that come with ssmc.
func BuiltinSchemes() []string {
	var names []string
	entries, _ := builtin.ReadDir("schemes") // it is there, or the program would not have compiled
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// LoadScheme reads a scheme by the name of one that comes with ssmc, or from a file, and those that it extends.
func LoadScheme(nameOrPath string) (*Scheme, error) { return loadChain(nameOrPath, "") }

// ParseScheme reads a scheme from memory. It may extend schemes that come with ssmc, and files seen from folder.
func ParseScheme(name, folder string, data []byte) (*Scheme, error) {
	f, err := ParseSchemeFile(name, data)
	if err != nil {
		return nil, err
	}
	return extendAll(f, folder)
}

func loadChain(name, folder string) (*Scheme, error) {
	f, folder, err := find(name, folder)
	if err != nil {
		return nil, err
	}
	return extendAll(f, folder)
}

// find reads one scheme file and gives the folder from which it names others.
func find(name, folder string) (*SchemeFile, string, error) {
	if slices.Contains(BuiltinSchemes(), name) {
		data, err := builtin.ReadFile("schemes/" + name + ".yaml")
		if err != nil {
			return nil, "", fmt.Errorf("scheme %s: %w", name, err)
		}
		f, err := ParseSchemeFile(name+".yaml", data)
		return f, "", err
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(folder, path)
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, "", fmt.Errorf("there is no scheme %q: it is neither a file nor one of %s", name, strings.Join(BuiltinSchemes(), ", "))
	}
	if info.Size() > maxSchemeBytes {
		return nil, "", fmt.Errorf("%s: it has %d bytes, a scheme file at most %d", path, info.Size(), maxSchemeBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("reading a scheme: %w", err)
	}
	f, err := ParseSchemeFile(path, data)
	return f, filepath.Dir(path), err
}

// extendAll follows extends down and joins the files, the lowest first.
func extendAll(f *SchemeFile, folder string) (*Scheme, error) {
	chain := []*SchemeFile{f}
	for chain[0].Extends != "" {
		if len(chain) == maxChain {
			return nil, fmt.Errorf("%s: more than %d schemes extend each other, or in a circle", f.where, maxChain)
		}
		below, next, err := find(chain[0].Extends, folder)
		if err != nil {
			return nil, fmt.Errorf("%s: extends: %w", chain[0].where, err)
		}
		folder = next
		chain = slices.Insert(chain, 0, below)
	}
	return join(chain)
}

// join makes one scheme of files, the lowest first, and checks it.
func join(chain []*SchemeFile) (*Scheme, error) {
	s := &Scheme{Tied: true, Calibrate: Calibrate{Samples: 512, Length: 512}}
	p := schemeProblems{places: map[string]place{}}
	for _, f := range chain {
		if s.Name != "" {
			s.Extends = slices.Insert(s.Extends, 0, s.Name)
		}
		s.Name = f.Scheme
		maps.Copy(p.places, f.places)
		if c := f.Calibrate; c != nil {
			if c.Samples > 0 {
				s.Calibrate.Samples = c.Samples
			}
			if c.Length > 0 {
				s.Calibrate.Length = c.Length
			}
			s.Calibrate.Carry = c.Carry
		}
		if f.Rotate != nil {
			s.Stream, s.Y = f.Rotate.Stream, f.Rotate.Y
		}
		if f.Tied != nil {
			s.Tied = *f.Tied
		}
		if f.Smooth != nil {
			s.Smooth = *f.Smooth
		}
		s.values = append(s.values, f.Values)
		s.weights = append(s.weights, f.Weights)
		s.overrides = append(s.overrides, f.Overrides...)
	}
	s.places = p.places
	s.check(&p)
	return s, p.err()
}
