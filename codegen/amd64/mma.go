package amd64

import (
	"fmt"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// This file has the matrix tiles of AMX: eight registers of 16 rows of 64 bytes, whose sizes are a state of the thread. ldtilecfg sets them (and clears the
// tiles), so a kernel does it only where they change: the first mma8, and the last block of rows. tilerelease at its end lets the system save nothing.

// Tiles 0 and 1 are c, 2 is a, 3 and 4 are b. 5, 6 and 7 are a and b of the last groups, when they are no whole tile.
const (
	tileC         = 0
	tileA         = 2
	tileB         = 3
	tileRestA     = 5
	tileRestB     = 6
	numTiles      = 8
	tileGroups    = 16 // groups of four bytes, which are a's columns and b's rows
	tileRowBytes  = 64
	tileConfBytes = 64
	tileConfCols  = 16 // u16 of each tile: bytes of a row
	tileConfRows  = 48 // u8 of each tile
)

// tileState is the thread's tile configuration as a kernel has left it.
type tileState struct {
	config  value.Value // i8*, what ldtilecfg reads
	current value.Value // i64*, rows and rest that it was loaded for; 0: not yet
}

// tiles gives the kernel's tile state: tiles of full size, but for rows and the rest, which are written before each load.
func (e *kernel) tiles() *tileState {
	if e.tile8 != nil {
		return e.tile8
	}
	at := e.entry.at
	conf := at.NewAlloca(types.NewArray(tileConfBytes, types.I8))
	conf.Align = ir.Align(tileConfBytes)
	e.tile8 = &tileState{config: at.NewBitCast(conf, bytePtr), current: at.NewAlloca(types.I64)}
	words := at.NewBitCast(conf, types.I64Ptr)
	for i := range int64(tileConfBytes / 8) {
		at.NewStore(i64(0), at.NewGetElementPtr(types.I64, words, i64(i)))
	}
	at.NewStore(i64(0), e.tile8.current)
	at.NewStore(newLiteral(types.I8, "1"), e.tile8.config) // palette
	for tile := range int64(tileRestA) {
		e.entry.configure(e.tile8, tile, newLiteral(types.I64, fmt.Sprint(tileGroups)), i64(tileRowBytes))
	}
	return e.tile8
}

// configure writes the size of a tile.
func (c *code) configure(s *tileState, tile int64, rows, rowBytes value.Value) {
	cols := c.cast(c.bytes(s.config, i64(tileConfCols+2*tile)), types.I16)
	c.at.NewStore(c.at.NewTrunc(rowBytes, types.I16), cols)
	c.at.NewStore(c.at.NewTrunc(rows, types.I8), c.bytes(s.config, i64(tileConfRows+tile)))
}

// loadTileConfig makes the configuration one for so many rows, and so many groups in the last tiles.
func (e *kernel) loadTileConfig(rows, rest value.Value) {
	s := e.tiles()
	want := e.at.NewOr(e.at.NewShl(rows, i64(8)), rest)
	e.when(e.at.NewICmp(enum.IPredNE, want, e.at.NewLoad(types.I64, s.current)), func() {
		e.at.NewStore(want, s.current)
		for _, tile := range []int64{tileC, tileC + 1, tileA} {
			e.configure(s, tile, rows, i64(tileRowBytes))
		}
		none := e.at.NewICmp(enum.IPredEQ, rest, i64(0)) // a tile has neither rows nor columns, or both
		orZero := func(x value.Value) value.Value { return e.at.NewSelect(none, i64(0), x) }
		e.configure(s, tileRestA, orZero(rows), e.at.NewShl(rest, i64(2)))
		e.configure(s, tileRestB, rest, orZero(i64(tileRowBytes)))
		e.configure(s, tileRestB+1, rest, orZero(i64(tileRowBytes)))
		e.at.NewCall(e.m.intrinsic("llvm.x86.ldtilecfg", types.Void, bytePtr), s.config)
	})
}

// mma8 loads c, adds the products tile by tile, and stores it.
func (e *kernel) mma8(in *spmd.Instr) value.Value {
	if !levels[e.rank].target.Tiles {
		panic("the level has no tiles")
	}
	if in.Strides.Run > 1 {
		panic("tiles want the groups of a column apart, not in runs")
	}
	c, a, b := e.cast(e.arg(in, 0), types.I8), e.arg(in, 1), e.arg(in, 2)
	k, rows := e.arg(in, 3), e.arg(in, 4)
	rest := e.at.NewAnd(k, i64(tileGroups-1))
	e.loadTileConfig(rows, rest)
	e.eachTileC(in, "llvm.x86.tileloadd64", c)
	multiply := func(a, b value.Value, tileA, tileB int64) {
		if in.Strides.Ahead > 0 {
			for row := range int64(tileGroups) {
				for t := range in.Imm {
					e.askFor(e.bytes(b, i64(row*in.Strides.B+t*tileRowBytes+in.Strides.Ahead)), spmd.OpPrefetchFar)
				}
			}
		}
		e.tileMove("llvm.x86.tileloadd64", tileA, a, in.Strides.A)
		for t := range in.Imm {
			e.tileMove("llvm.x86.tileloadd64", tileB+t, e.bytes(b, i64(t*tileRowBytes)), in.Strides.B)
			dot := e.m.intrinsic("llvm.x86.tdpbssd", types.Void, types.I8, types.I8, types.I8)
			e.at.NewCall(dot, tileNumber(tileC+t), tileNumber(tileA), tileNumber(tileB+t))
		}
	}
	whole := e.at.NewLShr(k, i64(4))
	e.when(e.at.NewICmp(enum.IPredNE, whole, i64(0)), func() {
		e.countUp(whole, func(i value.Value) {
			multiply(e.bytes(a, e.at.NewShl(i, i64(6))), e.bytes(b, e.at.NewMul(i, i64(tileGroups*in.Strides.B))), tileA, tileB)
		})
	})
	e.when(e.at.NewICmp(enum.IPredNE, rest, i64(0)), func() {
		multiply(e.bytes(a, e.at.NewShl(whole, i64(6))), e.bytes(b, e.at.NewMul(whole, i64(tileGroups*in.Strides.B))), tileRestA, tileRestB)
	})
	e.eachTileC(in, "llvm.x86.tilestored64", c)
	return nil
}

func (e *kernel) eachTileC(in *spmd.Instr, move string, c value.Value) {
	for t := range in.Imm {
		e.tileMove(move, tileC+t, e.bytes(c, i64(t*tileRowBytes)), 4*in.Strides.C)
	}
}

// tileMove loads or stores a tile, whose rows are so many bytes apart.
func (e *kernel) tileMove(name string, tile int64, p value.Value, stride int64) {
	e.at.NewCall(e.m.intrinsic(name, types.Void, types.I8, bytePtr, types.I64), tileNumber(tile), p, i64(stride))
}

func tileNumber(n int64) value.Value { return newLiteral(types.I8, fmt.Sprint(n)) }

// endTiles is what a kernel that has used tiles does at its end.
func (e *kernel) endTiles() {
	if e.tile8 != nil {
		e.at.NewCall(e.m.intrinsic("llvm.x86.tilerelease", types.Void))
	}
}
