package amd64

import (
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// TestMMAAssembly: three loads and two products a step, and no more.
func TestMMAAssembly(t *testing.T) {
	checkAssembly(t, []string{"x86-64-v4+vnni+amx"}, []asmCase{{
		name: "mma8",
		build: func(k *spmdtest.Body) {
			x, w := k.Arg(spmd.I8, spmd.Work, 0), k.Arg(spmd.I8, spmd.Weights, 0)
			c := k.Scratch(spmd.I32, 16*32)
			k.For(k.I(0), k.Rows(), 16, nil, func(row *val, _ []*val) []*val {
				rows := k.Min(k.I(16), k.Sub(k.Rows(), row))
				k.MMA8(c, k.Offset(x, k.Mul(row, k.I(768))), w, k.I(192), rows, spmd.Strides{C: 32, A: 768, B: 128}, 2)
				return nil
			})
		},
		loop: map[string]map[string]int{
			"x86-64-v4+vnni+amx": {`^tileloadd .*%tmm`: 3, `^tdpbssd %tmm`: 2, `^leaq 64`: 1, loopControl: 5},
		},
	}})
}

// TestTilesRefused: a program with tiles is not for a level without.
func TestTilesRefused(t *testing.T) {
	target, err := Target("x86-64-v4+vnni+amx")
	if err != nil {
		t.Fatal(err)
	}
	d := spmdtest.New(t, target)
	d.Kernel("none", spmdtest.One, func(k *spmdtest.Body) {})
	want := "level x86-64-v4+vnni has no tiles, the program was built for some"
	if _, err := Emit("model", testSHA, []Level{{"x86-64-v4+vnni", d.Done().Program}}); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
