package examples

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/internal/sample"
	"github.com/ssmc/ssmc/runtime"
)

// compilers are tried in this order.
var compilers = []string{"cc", "gcc", "clang", "tcc"}

func findCC(t *testing.T) string {
	for _, name := range compilers {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("NOT TESTED: the C example needs a C compiler (%s); apt-get install gcc libc6-dev", strings.Join(compilers, ", "))
	return ""
}

// The C program gives the ids that the Go runtime gives, linked with the object and with the library.
func TestGenerate(t *testing.T) {
	cc := findCC(t)
	dir := t.TempDir()
	for _, model := range []string{"mamba-tiny", "mamba2-tiny"} {
		out := filepath.Join(dir, model)
		if _, err := compile.Run(context.Background(), compile.Options{Model: filepath.Join("../golden/testdata", model), Out: out}); err != nil {
			t.Fatal(err)
		}
		prompt := []int32{3, 1, 4, 1, 5, 9, 2, 6}
		want := goIDs(t, out, prompt, 24)
		for name, link := range map[string][]string{
			"object":  {filepath.Join(out, "model.o")},
			"library": {filepath.Join(out, "model.so"), "-Wl,-rpath," + out},
		} {
			t.Run(model+"/"+name, func(t *testing.T) {
				program := filepath.Join(dir, model+"-"+name)
				args := append([]string{"-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-I" + out, "c/generate.c", "-o", program}, link...)
				if log, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
					t.Fatalf("%s %s: %v\n%s", cc, strings.Join(args, " "), err, log)
				}
				arguments := []string{filepath.Join(out, "weights.safetensors"), "24"}
				for _, id := range prompt {
					arguments = append(arguments, strconv.Itoa(int(id)))
				}
				got, err := exec.Command(program, arguments...).Output()
				if err != nil {
					t.Fatal(err)
				}
				if strings.TrimSpace(string(got)) != want {
					t.Errorf("C gives %swant %s", got, want)
				}
				sampling := exec.Command(program, arguments...)
				sampling.Env = append(os.Environ(), "TEMPERATURE=1.5", "TOP_K=40", "TOP_P=0.9", "SEED=7")
				if got, err = sampling.Output(); err != nil {
					t.Fatal(err)
				}
				if want := sampledIDs(t, out, prompt, 24, sample.Params{Temperature: 1.5, TopK: 40, TopP: 0.9}, 7); strings.TrimSpace(string(got)) != want {
					t.Errorf("sampling, C gives %swant %s", got, want)
				}
			})
		}
	}
}

// opened is the artefact with an empty slot.
func opened(t *testing.T, dir string) (*runtime.Model, *runtime.Slot) {
	t.Helper()
	m, err := runtime.Open(dir, runtime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	slot, err := m.NewSlot()
	if err != nil {
		t.Fatal(err)
	}
	return m, slot
}

func goIDs(t *testing.T, dir string, prompt []int32, n int) string {
	t.Helper()
	m, slot := opened(t, dir)
	var words []string
	_, err := m.Generate(context.Background(), slot, prompt, runtime.Generation{Tokens: n}, func(id int32) error {
		words = append(words, strconv.Itoa(int(id)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(words, " ")
}

// sampledIDs chooses from the logits that the Go runtime gives, with the random numbers of C's lrand48.
func sampledIDs(t *testing.T, dir string, ids []int32, n int, p sample.Params, seed uint64) string {
	t.Helper()
	m, slot := opened(t, dir)
	var words []string
	var chooser sample.Chooser
	x := seed<<16 + 0x330e
	for range n {
		x = (x*0x5deece66d + 0xb) & (1<<48 - 1)
		p.U = float32(x>>17>>7) / (1 << 24)
		err := m.Run(context.Background(), []runtime.Input{{Slot: slot, IDs: ids, Outs: []int{len(ids) - 1}}}, func(_, _ int, logits []float32) error {
			ids = []int32{chooser.Choose(logits, p)}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, strconv.Itoa(int(ids[0])))
	}
	return strings.Join(words, " ")
}

// The header can be read by compilers of other standards and by C++, and the program refuses what it should.
func TestHeaderAndRefusals(t *testing.T) {
	cc := findCC(t)
	out := filepath.Join(t.TempDir(), "m")
	if _, err := compile.Run(context.Background(), compile.Options{Model: "../golden/testdata/mamba-tiny", Out: out, Prefix: "tiny", Target: "x86-64-v3"}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-std=c99", "-x", "c"}, {"-std=c17", "-x", "c"}, {"-std=c++17", "-x", "c++"}} {
		if _, err := exec.LookPath("c++"); err != nil && args[2] == "c++" {
			t.Log("NOT TESTED: there is no C++ compiler")
			continue
		}
		source := filepath.Join(t.TempDir(), "source")
		if err := os.WriteFile(source, []byte("#include \"model.h\"\nint main(void) { return tiny_level() + (TINY_VOCAB == 256 ? 0 : 1); }\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		all := append(args, "-Wall", "-Wextra", "-Werror", "-pedantic", "-c", "-I"+out, source, "-o", source+".o")
		if log, err := exec.Command(cc, all...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, log)
		}
	}
}
