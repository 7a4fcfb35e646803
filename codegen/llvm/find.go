// Package llvm runs the two outside programs that ssmc needs to make x86-64
// object code: LLVM's llc, which turns IR text into an object, and a linker,
// which turns objects into a shared library that needs no other library.
//
// Find looks for both and says in one line how to get what is missing. With
// the Tools that it returns:
//
//	obj, err := tools.Assemble(ctx, ir, llvm.Options{CPU: "x86-64-v3"})
//	so, err := tools.LinkShared(ctx, [][]byte{obj}, "model.so")
//
// Three promises. The output depends on the input and the programs' versions
// only: no path, temporary name or time reaches it. A failure carries the
// command, what the program said and, when asked for, its input in a file, so
// that it can be reproduced. And the IR may be written for any llc: llir prints
// the typed pointers of LLVM 14, later versions get them rewritten by
// OpaquePointers.
package llvm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// MinVersion and MaxVersion bound the major versions of llc that are accepted.
const (
	MinVersion = 14
	MaxVersion = 21
)

// Tested are the versions that the tests run with, the preferred one first.
var Tested = [...]int{14, 19}

// preference is the order in which an llc is chosen where any will do.
var preference = [...]int{14, 19, 18, 17, 16, 15, 20, 21}

// Tools is the set of programs that one compile uses.
type Tools struct {
	LLC         string // path of llc
	LLCVersion  int    // its major version
	LLCRelease  string // its whole version, such as "14.0.6"; it goes into manifests
	Linker      string // path of ld.bfd, ld, ld.lld or a C compiler
	LinkerTitle string // the first line of its --version
	linkerIsCC  bool
}

// Environment variables that name a program outright.
const (
	envLLC    = "SSMC_LLC"
	envLinker = "SSMC_LD"
)

// Find looks for llc and a linker: first where SSMC_LLC and SSMC_LD say, then
// in PATH and in the folders in which packages of LLVM put it. With want 0 any
// version from MinVersion to MaxVersion will do and the preferred one is taken;
// otherwise only that major version. The error names everything that is missing.
func Find(want int) (*Tools, error) {
	t := &Tools{}
	errLLC := t.findLLC(want)
	errLinker := t.findLinker()
	if err := errors.Join(errLLC, errLinker); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tools) findLLC(want int) error {
	if want != 0 && (want < MinVersion || want > MaxVersion) {
		return fmt.Errorf("llc %d: ssmc can use versions %d to %d", want, MinVersion, MaxVersion)
	}
	var seen []string
	if path := os.Getenv(envLLC); path != "" {
		err := t.tryLLC(path, want)
		if err == nil {
			return nil
		}
		if want == 0 { // asked for by name: do not quietly take another
			return fmt.Errorf("%s=%s: %w", envLLC, path, err)
		}
		seen = append(seen, fmt.Sprintf("%s (%v)", path, err))
	}
	versions := preference[:]
	if want != 0 {
		versions = []int{want}
	}
	for _, v := range versions {
		for _, path := range llcPaths(v) {
			if t.tryLLC(path, v) == nil {
				return nil
			}
		}
	}
	if path, err := exec.LookPath("llc"); err == nil {
		err := t.tryLLC(path, want)
		if err == nil {
			return nil
		}
		seen = append(seen, fmt.Sprintf("%s (%v)", path, err))
	}
	what := fmt.Sprintf("llc (LLVM %d to %d)", MinVersion, MaxVersion)
	if want != 0 {
		what = fmt.Sprintf("llc %d", want)
	}
	msg := what + " not found"
	if len(seen) > 0 {
		msg += "; looked at " + strings.Join(seen, ", ")
	}
	return fmt.Errorf("%s\n  fix: %s", msg, llcHint(want))
}

// llcPaths lists where the llc of one major version may lie.
func llcPaths(v int) []string {
	var paths []string
	if p, err := exec.LookPath("llc-" + strconv.Itoa(v)); err == nil {
		paths = append(paths, p)
	}
	for _, dir := range []string{
		"/usr/lib/llvm-%d/bin",          // Debian, Ubuntu
		"/usr/lib64/llvm%d/bin",         // Fedora
		"/usr/lib/llvm%d/bin",           // Alpine
		"/opt/homebrew/opt/llvm@%d/bin", // Homebrew
		"/usr/local/opt/llvm@%d/bin",
	} {
		p := filepath.Join(fmt.Sprintf(dir, v), "llc")
		if _, err := os.Stat(p); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

var versionLine = regexp.MustCompile(`LLVM version ((\d+)\.[0-9][^\s]*)`)

// tryLLC takes the llc at path if it is one, of the wanted version, for x86-64.
func (t *Tools) tryLLC(path string, want int) error {
	path, err := exec.LookPath(path)
	if err != nil {
		return err
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("llc --version: %w", err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("llc --version names no LLVM version")
	}
	major, err := strconv.Atoi(string(m[2]))
	switch {
	case err != nil:
		return fmt.Errorf("version %s: %w", m[1], err)
	case want != 0 && major != want:
		return fmt.Errorf("version %s, not %d", m[1], want)
	case major < MinVersion || major > MaxVersion:
		return fmt.Errorf("version %s; ssmc can use %d to %d", m[1], MinVersion, MaxVersion)
	case !strings.Contains(string(out), "x86-64"):
		return fmt.Errorf("version %s was built without the x86-64 target", m[1])
	}
	t.LLC, t.LLCVersion, t.LLCRelease = path, major, string(m[1])
	return nil
}

// findLinker prefers GNU ld, since it comes with nearly every C compiler: the
// more machines use the same linker, the more of them make the same bytes.
func (t *Tools) findLinker() error {
	if name := os.Getenv(envLinker); name != "" {
		if err := t.tryLinker(name); err != nil {
			return fmt.Errorf("%s=%s: %w", envLinker, name, err)
		}
		return nil
	}
	var names []string
	if runtime.GOOS == "linux" { // elsewhere ld makes no ELF files
		names = append(names, "ld.bfd", "ld")
	}
	for _, v := range preference {
		names = append(names, "ld.lld-"+strconv.Itoa(v))
	}
	names = append(names, "ld.lld")
	if runtime.GOOS == "linux" {
		names = append(names, "cc", "gcc", "clang")
	}
	for _, name := range names {
		if t.tryLinker(name) == nil {
			return nil
		}
	}
	return fmt.Errorf("no linker found; looked for %s\n  fix: %s", strings.Join(names, ", "), linkerHint())
}

func (t *Tools) tryLinker(name string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("--version: %w", err)
	}
	title, _, _ := strings.Cut(string(out), "\n")
	t.Linker, t.LinkerTitle = path, strings.TrimSpace(title)
	t.linkerIsCC = !strings.Contains(filepath.Base(path), "ld") // ld, lld, gold, mold; not cc, gcc, clang
	return nil
}

// llcHint says in one line how to get llc on the system at hand.
func llcHint(want int) string {
	v := Tested[0]
	if want != 0 {
		v = want
	}
	return installHint(map[string]string{
		"apt-get": fmt.Sprintf("apt-get install llvm-%d   (where it is not packaged any llvm-%d to llvm-%d will do)", v, MinVersion, MaxVersion),
		"dnf":     fmt.Sprintf("dnf install llvm%d   (or llvm)", v),
		"apk":     fmt.Sprintf("apk add llvm%d", v),
		"pacman":  "pacman -S llvm",
		"brew":    fmt.Sprintf("brew install llvm@%d", v),
	}, fmt.Sprintf("install LLVM %d to %d", MinVersion, MaxVersion)) + ", or set " + envLLC + " to its path"
}

// linkerHint says the same for the linker.
func linkerHint() string {
	return installHint(map[string]string{
		"apt-get": "apt-get install binutils",
		"dnf":     "dnf install binutils",
		"apk":     "apk add binutils",
		"pacman":  "pacman -S binutils",
		"brew":    "brew install lld",
	}, "install GNU binutils or LLVM's lld") + ", or set " + envLinker + " to its path"
}

// installHint picks the line of the package manager that this machine has.
func installHint(lines map[string]string, otherwise string) string {
	for _, manager := range []string{"apt-get", "dnf", "apk", "pacman", "brew"} {
		if _, err := exec.LookPath(manager); err == nil {
			return lines[manager]
		}
	}
	return otherwise
}

// String names the tools as a manifest or a log should.
func (t *Tools) String() string {
	return fmt.Sprintf("llc %s, %s", t.LLCRelease, t.LinkerTitle)
}
