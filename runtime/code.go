package runtime

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/ssmc/ssmc/artifact"
)

// code is a loaded model.so: the addresses of what docs/abi.md lists.
type code struct {
	handle                                uintptr
	facts, sum                            uintptr
	level, levelName, stepFunc, serveFunc uintptr
}

// loadCode loads the library at path and finds its symbols.
func loadCode(path, prefix string) (*code, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	if !strings.Contains(path, "/") {
		path = "./" + path // else the loader would search its own folders
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w\n  fix: it must be for this system (Linux on x86-64); compile the checkpoint again here", path, err)
	}
	c := &code{handle: handle}
	for _, symbol := range []struct {
		to   *uintptr
		name string
	}{
		{&c.facts, "_facts"}, {&c.sum, "_weights_sha256"}, {&c.level, "_level"}, {&c.levelName, "_level_name"},
		{&c.stepFunc, "_step"}, {&c.serveFunc, "_serve"},
	} {
		if *symbol.to, err = purego.Dlsym(handle, prefix+symbol.name); err != nil {
			c.unload()
			return nil, fmt.Errorf("%s: %w\n  fix: compile the checkpoint again", path, err)
		}
	}
	return c, nil
}

func (c *code) unload() error {
	if c == nil {
		return nil
	}
	return purego.Dlclose(c.handle)
}

// fact is a size that the code and the manifest state, each for itself.
type fact struct {
	what string
	n    int64
}

// compare holds the sizes that the code was made for against the manifest: memory is reserved by the one and used by the other.
func (c *code) compare(m *artifact.Manifest) error {
	facts := *(*[16]int64)(pointer(c.facts))
	want := [...]fact{
		{"ABI version", int64(m.Entry.ABI)}, {"bytes of weights", m.Weights.Bytes}, {"bytes of activations", m.Sizes.WorkBytes},
		{"bytes of scratch", m.Sizes.TeamBytes}, {"bytes of a slot", m.Sizes.SlotBytes}, {"stride of the logits", m.Sizes.LogitsStride},
		{"vocabulary", int64(m.Model.Vocab)}, {"rows of a step", m.Sizes.MaxRows}, {"sequences of a step", m.Sizes.MaxSeqs},
		{"phases", int64(len(m.Phases))}, {"levels", int64(len(m.Target.Levels))},
	}
	for i, w := range want {
		if facts[i] != w.n {
			return fmt.Errorf("%s and %s do not belong together: %s %d and %d", artifact.SharedFile, artifact.ManifestFile, w.what, facts[i], w.n)
		}
	}
	sum := (*[65]byte)(pointer(c.sum))
	if string(sum[:64]) != m.Weights.SHA256 {
		return fmt.Errorf("%s was made for other weights than %s", artifact.SharedFile, artifact.WeightsFile)
	}
	return nil
}

// chooseLevel gives the index of the level to run: the best that the CPU has, or the one asked for.
func (c *code) chooseLevel(name string, levels []artifact.Level) (int, error) {
	best, _, _ := purego.SyscallN(c.level)
	index := int(int32(best))
	if index < 0 {
		return 0, fmt.Errorf("this CPU cannot run the code: %s\n  fix: compile it for this machine: --target native", missingFeatures(levels))
	}
	if index >= len(levels) {
		return 0, fmt.Errorf("the code gives level %d of %d", index, len(levels))
	}
	if name == "" {
		return index, nil
	}
	for i, l := range levels {
		if l.Name != name {
			continue
		}
		// Levels need not include each other, so one that model_level did not give is run only where every feature of it is seen.
		if i != index && !hasFeatures(l) {
			return 0, fmt.Errorf("this CPU cannot run the level %s: %s", name, missingFeatures(levels[i:i+1]))
		}
		return i, nil
	}
	var have []string
	for _, l := range levels {
		have = append(have, l.Name)
	}
	return 0, fmt.Errorf("has no level %.40q, only %s", name, strings.Join(have, ", "))
}

// cpuFlags are the features of this CPU as Linux names them; nil if it does not say.
func cpuFlags() map[string]bool {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "flags"); ok {
			has := make(map[string]bool)
			for _, f := range strings.Fields(rest) {
				has[f] = true
			}
			return has
		}
	}
	return nil
}

// hasFeatures says whether this CPU has all that a level needs.
func hasFeatures(l artifact.Level) bool {
	has := cpuFlags()
	for _, f := range l.Features {
		if !has[f] {
			return false
		}
	}
	return has != nil
}

// missingFeatures says what each level needs that the CPU lacks.
func missingFeatures(levels []artifact.Level) string {
	has := cpuFlags()
	var parts []string
	for _, l := range levels {
		var missing []string
		for _, f := range l.Features {
			if !has[f] {
				missing = append(missing, f)
			}
		}
		sort.Strings(missing)
		part := "it lacks " + strings.Join(missing, ", ") + " for " + l.Name
		if has == nil || len(missing) == 0 {
			part = l.Name + " needs " + strings.Join(l.Features, ", ")
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// pointer turns an address of the loaded library into a pointer. The detour keeps vet from taking it for one into Go's heap.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }
