package amd64

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/codegen/spmd/spmdtest"
)

// TestDotBlocks runs register blocks of each kind over rows of 1, 15, 16 and 17 times as many groups as are unrolled.
func TestDotBlocks(t *testing.T) {
	checkBedOf(t, ByteNames(), "dotblocks", func(t testing.TB, target spmd.Target) *spmdtest.Bed {
		d := spmdtest.New(t, target)
		r := rand.New(rand.NewPCG(7, 7))
		for _, op := range []string{"dot4", "dot4u", "dot4u_15", "dot2"} {
			for _, groups := range []int64{8, 120, 128, 136} {
				s := dotShape{op, 3, 2, 8}
				d.Kernel(fmt.Sprint("block_", op, "_", groups), spmdtest.One, func(k *spmdtest.Body) {
					w := k.Input(spmd.I32, spmdtest.FourBytes(int(2*16*groups), func(int) int { return r.IntN(255) - 127 }))
					x := k.Input(spmd.I32, spmdtest.FourBytes(int(2*groups*18), func(int) int { return r.IntN(255) - 127 }))
					s.block(k, x, w, k.Output(spmd.I32, 18*2*16), groups)
				})
			}
		}
		return d.Done()
	}, 1)
}

// dotAssembly is what the loops that matter are made of: one row and four vectors of columns, and blocks of rows.
var dotAssembly = []asmCase{
	{
		name:  "dot4_1x4",
		build: func(k *spmdtest.Body) { dotShape{"dot4", 1, 4, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vpbroadcastd .*\(%r.*, %ymm`: 1, `^vpabsb %ymm`: 1, `^vmovdqu .*\(%r.*, %ymm`: 4, `^vpsignb %ymm`: 4, `^vpmaddubsw %ymm`: 4, `^vpmaddwd %ymm`: 4, `^vpaddd %ymm`: 4, loopControl: 4},
			"x86-64-v4": {`^vpbroadcastd .*\(%r.*, %zmm`: 1, `^vpabsb %zmm`: 1, `^vmovdqu.* .*\(%r.*, %zmm`: 4, `^vpsubb %zmm.* \{%k`: 4, `^vpmaddubsw %zmm`: 4, `^vpmaddwd %zmm`: 4, `^vpaddd %zmm`: 4, `^vpmovb2m`: 1, loopControl: 4},
		},
	},
	{
		name:  "dot4u_1x4",
		build: func(k *spmdtest.Body) { dotShape{"dot4u", 1, 4, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3+avxvnni":  {`^vpbroadcastd .*\(%r.*, %ymm`: 1, `^\{vex\} vpdpbusd .*\(%r.*\), %ymm\d+, %ymm`: 4, loopControl: 4},
			"x86-64-v4+vnni":     {`^vpbroadcastd .*\(%r.*, %zmm`: 1, `^vpdpbusd .*\(%r.*\), %zmm\d+, %zmm`: 4, loopControl: 4},
			"x86-64-v4+vnni+amx": {`^vpbroadcastd .*\(%r.*, %zmm`: 1, `^vpdpbusd .*\(%r.*\), %zmm\d+, %zmm`: 4, loopControl: 4},
		},
	},
	{
		name:  "dot4_3x2",
		build: func(k *spmdtest.Body) { dotShape{"dot4", 3, 2, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vpbroadcastd .*\(%r.*, %ymm`: 3, `^vpabsb %ymm`: 3, `^vmovdqu .*\(%r.*, %ymm`: 2, `^vpsignb %ymm`: 6, `^vpmaddubsw %ymm`: 6, `^vpmaddwd %ymm`: 6, `^vpaddd %ymm`: 6, loopControl: 4},
		},
	},
	{
		name:  "dot4u_8x2",
		build: func(k *spmdtest.Body) { dotShape{"dot4u", 8, 2, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v4+vnni": {`^vpbroadcastd .*\(%r.*, %zmm`: 8, `^vmovdqu.* .*\(%r.*, %zmm`: 2, `^vpdpbusd %zmm`: 16, loopControl: 4},
		},
	},
	{
		name:  "dot2_4x2",
		build: func(k *spmdtest.Body) { dotShape{"dot2", 4, 2, 1}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vpbroadcastd .*\(%r.*, %ymm`: 8, `^vmovdqu .*\(%r.*, %ymm`: 2, `^vps(ll|ra)w \$8, %ymm`: 6, `^vpmaddwd %ymm`: 16, `^vpaddd %ymm`: 16, loopControl: 4},
		},
	},
	{
		name:  "dot4u_15_2x1",
		build: func(k *spmdtest.Body) { dotShape{"dot4u_15", 2, 1, 8}.build(k, 768) },
		loop: map[string]map[string]int{
			"x86-64-v3": {`^vpbroadcastd .*\(%r.*, %ymm`: 16, `^vmovdqu .*\(%r.*, %ymm`: 4, `^vps[rl]+[wd] \$4, %ymm`: 4, `^vpand %ymm`: 8, `^vpmaddubsw %ymm`: 16, `^vpaddw %ymm`: 14, `^vpmaddwd %ymm`: 2, `^vpaddd %ymm`: 2, `^(movq|shlq|andq) `: 3, loopControl: 4},
		},
	},
}

func TestDotAssembly(t *testing.T) { checkAssembly(t, ByteNames(), dotAssembly) }
