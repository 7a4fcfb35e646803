package emu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: any text is refused with a line or runs without harm.
func FuzzParse(f *testing.F) {
	f.Add(header + one("add.u32 %r1, %t0, 1;\n"+save("%r1")))
	f.Add(header + shapes)
	f.Add(header + wgmmaCase{"s8", 8, false}.text())
	f.Add(header + opCase{text: "prmt.b32 %d, %a, %b, 0x3210;", in: "b32 b32", out: "b32"}.kernel("k"))
	for _, dir := range []string{"run", "parse"} {
		files, err := filepath.Glob("testdata/" + dir + "/*")
		if err != nil || len(files) == 0 {
			f.Fatal("no texts in testdata")
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			for _, part := range strings.Split(string(b), "\n\n") {
				_, body, _ := strings.Cut(part, "\n")
				body, _, _ = strings.Cut(body, "----")
				before, body1, found := strings.Cut(body, "---\n")
				if found {
					f.Add(header + before + one(body1))
				} else {
					f.Add(header + one(body))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse("fuzz.ptx", text)
		if err != nil {
			if !strings.Contains(err.Error(), "fuzz.ptx:") {
				t.Fatalf("no line: %v", err)
			}
			return
		}
		d := NewDevice()
		d.MaxInstructions, d.Races = 2000, true
		if err := d.Load(m); err != nil {
			return
		}
		mem := d.Alloc("memory", 4096)
		for _, k := range m.Kernels() {
			var args []Arg
			for _, p := range m.functions[k].params {
				b := make([]byte, p.variable.bytes)
				if len(b) == 8 {
					put(b, mem)
				}
				args = append(args, Bytes(b))
			}
			err := d.LaunchCooperative(k, [3]int{2, 1, 1}, [3]int{40, 1, 1}, 64, args...)
			if err != nil && err.Error() == "" {
				t.Fatal("an error without words")
			}
		}
	})
}
