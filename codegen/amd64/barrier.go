package amd64

import (
	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/ssmc/ssmc/codegen/abi"
)

// Linux: futex(2), private to the process.
const (
	sysFutex         = 202
	futexWaitPrivate = 0 | 128
	futexWakePrivate = 1 | 128
)

// barrier emits void barrier(ctx, workers): returns when all workers have called it.
//
// The generation is read before the arrival is counted, so it cannot be a later one. The last to arrive resets the count before it advances
// the generation, so nobody can arrive at the next barrier too early. A sleeper counts itself before the kernel looks at the generation; the last one advances it
// before it looks for sleepers; both in one total order: one of the two sees the other.
func (m *module) barrier() *ir.Func {
	c := m.function("barrier", types.Void, ir.NewParam("ctx", bytePtr), ir.NewParam("workers", types.I32))
	ctx, workers := c.Params[0], c.Params[1]
	alone, together := c.block(), c.block()
	c.branch(c.at.NewICmp(enum.IPredEQ, workers, i32(1)), alone, together)
	alone.NewRet(nil)
	c.at = together

	arrived, generation, sleepers := c.field(ctx, abi.Arrived, types.I32), c.field(ctx, abi.Generation, types.I32), c.field(ctx, abi.Sleepers, types.I32)
	mine := c.atomicLoad(generation, enum.AtomicOrderingAcquire)
	before := c.at.NewAtomicRMW(enum.AtomicOpAdd, arrived, i32(1), enum.AtomicOrderingSequentiallyConsistent)
	last, wait := c.block(), c.block()
	c.branch(c.at.NewICmp(enum.IPredEQ, before, c.at.NewSub(workers, i32(1))), last, wait)

	c.at = last
	c.atomicStore(i32(0), arrived, enum.AtomicOrderingMonotonic)
	c.atomicStore(c.at.NewAdd(mine, i32(1)), generation, enum.AtomicOrderingSequentiallyConsistent)
	some := c.at.NewICmp(enum.IPredNE, c.atomicLoad(sleepers, enum.AtomicOrderingSequentiallyConsistent), i32(0))
	c.when(some, func() { c.futex(generation, futexWakePrivate, i64(1<<31-1)) })
	c.at.NewRet(nil)

	c.at = wait
	changed := func() value.Value {
		return c.at.NewICmp(enum.IPredNE, c.atomicLoad(generation, enum.AtomicOrderingAcquire), mine)
	}
	c.spin(c.get(ctx, abi.Spin, types.I32), m.intrinsic("llvm.x86.sse2.pause", types.Void), changed)
	c.at.NewAtomicRMW(enum.AtomicOpAdd, sleepers, i32(1), enum.AtomicOrderingSequentiallyConsistent)
	sleep, check, woken := c.block(), c.block(), c.block()
	c.jump(check)
	c.branch(changed(), woken, sleep)
	c.at = sleep
	c.futex(generation, futexWaitPrivate, c.at.NewZExt(mine, types.I64))
	c.at.NewBr(check)
	c.at = woken
	c.at.NewAtomicRMW(enum.AtomicOpSub, sleepers, i32(1), enum.AtomicOrderingSequentiallyConsistent)
	c.at.NewRet(nil)
	return c.Func
}

// spin looks at a condition up to rounds times, and returns from the function when it holds.
func (c *code) spin(rounds value.Value, pause *ir.Func, holds func() value.Value) {
	from := c.at
	head, body, again, out, on := c.block(), c.block(), c.block(), c.block(), c.block()
	c.jump(head)
	left := c.phi(rounds, from)
	c.branch(c.at.NewICmp(enum.IPredEQ, left, i32(0)), on, body)
	c.at = body
	c.branch(holds(), out, again)
	out.NewRet(nil)
	c.at = again
	c.at.NewCall(pause)
	enter(left, c.at.NewSub(left, i32(1)), again)
	c.at.NewBr(head)
	c.at = on
}

func (c *code) atomicLoad(p value.Value, order enum.AtomicOrdering) value.Value {
	ld := c.at.NewLoad(types.I32, p)
	ld.Atomic, ld.Ordering, ld.Align = true, order, 4
	return ld
}

func (c *code) atomicStore(x, p value.Value, order enum.AtomicOrdering) {
	st := c.at.NewStore(x, p)
	st.Atomic, st.Ordering, st.Align = true, order, 4
}

// futex makes the system call without a time-out. Its result does not matter: a waiter looks at the word again, whatever woke it.
func (c *code) futex(word value.Value, op int64, val value.Value) {
	const constraints = "={rax},{rax},{rdi},{rsi},{rdx},{r10},~{rcx},~{r11},~{memory},~{dirflag},~{fpsr},~{flags}"
	c.asm(types.I64, "syscall", constraints, i64(sysFutex), word, i64(op), val, i64(0))
}
