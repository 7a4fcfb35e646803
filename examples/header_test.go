package examples

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/compile"
)

// What the headers tell a C compiler is what the code generators take for granted.
func TestHeaderLayout(t *testing.T) {
	cc := findCC(t)
	both := map[string]int{
		"abi": abi.ABI, "weights": abi.Weights, "work": abi.Work, "team": abi.Team, "state": abi.State, "ids": abi.IDs, "seq_start": abi.SeqStart,
		"seq_slot": abi.SeqSlot, "out_row": abi.OutRow, "logits": abi.Logits, "rows": abi.Rows, "seqs": abi.Seqs, "outs": abi.Outs, "trace": abi.Trace,
		"sampling": abi.Sampling, "chosen": abi.Chosen, "odds": abi.Odds, "arrived": abi.Arrived,
	}
	for _, tc := range []struct {
		target string
		bytes  int
		own    map[string]int
	}{
		{"x86-64-v3", abi.Bytes, map[string]int{"level": abi.Level, "spin": abi.Spin, "stop": abi.Stop, "generation": abi.Generation, "sleepers": abi.Sleepers}},
		{"ptx:sm_80", abi.GPUBytes, map[string]int{"result": abi.Result, "workers": abi.Workers}},
	} {
		out := filepath.Join(t.TempDir(), "m")
		if _, err := compile.Run(context.Background(), compile.Options{Model: "../golden/testdata/mamba-tiny", Out: out, Target: tc.target}); err != nil {
			t.Fatal(err)
		}
		var source strings.Builder
		source.WriteString("#include <stddef.h>\n#include \"model.h\"\n")
		claim := func(format string, args ...any) {
			text := fmt.Sprintf(format, args...)
			fmt.Fprintf(&source, "_Static_assert(%s, \"%s\");\n", text, text)
		}
		for _, fields := range []map[string]int{both, tc.own} {
			for name, at := range fields {
				claim("offsetof(struct model_ctx, %s) == %d", name, at)
			}
		}
		claim("sizeof(struct model_ctx) == %d", tc.bytes)
		claim("sizeof(struct model_sampling) == 16")
		claim("MODEL_ABI == %d", abi.Version)
		file := filepath.Join(t.TempDir(), "layout.c")
		if err := os.WriteFile(file, []byte(source.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		if log, err := exec.Command(cc, "-std=c11", "-Wall", "-Werror", "-I"+out, "-c", file, "-o", file+".o").CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", tc.target, err, log)
		}
	}
}
