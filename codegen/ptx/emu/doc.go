// Package emu parses PTX text (ISA 7.x and 8.x, a subset) and runs it as a strict GPU would, so that emitted modules are tested without one.
//
//	m, err := emu.Parse("step.ptx", text)     // all problems, each with its line
//	d := emu.NewDevice()
//	err = d.Load(m)                           // places .global and .const variables
//	x := d.Alloc("x", 4096)                   // an address in global memory; d.Bytes(x) is what lies there
//	err = d.LaunchCooperative("step", [3]int{4, 1, 1}, [3]int{128, 1, 1}, sharedBytes, emu.U64(x))
//
// # How it runs
//
// Parse makes one flat array of instructions, with every register, constant and label looked up (compile*.go; isa.go is the table of opcodes). A
// warp executes an instruction for its 32 lanes in one go: a register is an array of 32 words (warp.go).
//
// Lanes part at a branch: a warp is a list of groups, each with a program counter, a mask and a stack of calls. The group that is deepest in
// calls, and of these the one with the lowest program counter, runs first, and groups that stand at the same place are joined. Structured code
// laid out in order so meets again where its paths do. A group that spins, or has run for long, gives way to the others, as on Volta and
// later: lanes of a warp may wait for each other. An instruction with .sync waits until all lanes it names stand there, .aligned until the whole warp
// does; threads that have exited are not waited for, there and at barriers of the block, unless a number of threads was given (groups.go, block.go).
//
// Warps take turns: round robin, each for a number of instructions or until it waits; with Device.Seed in a drawn order and for drawn numbers.
// Launch runs block after block; LaunchCooperative keeps all blocks resident, so that loops on a grid barrier make progress (launch.go). When no
// warp can go on, or all that can only spin on memory that nobody changes, the error says where each of them waits.
//
// # What is checked
//
//   - every access: bounds of the allocation or variable, alignment, state space (fault.go has what an error says: the line of PTX, thread, address);
//   - registers that a lane reads before it has written them: proved for most reads when the module is parsed, watched for the rest (assigned.go);
//   - shared memory that is read before it is written, and cp.async data that is touched before its wait (shadow.go);
//   - copies of many bytes: alignment, bytes that nobody has waited for, mbarriers that are stored over, not shown to the copies or asked for a parity that
//     is over (op_mbar.go, op_bulk.go); what they bring arrives as late as can be;
//   - wgmma: a fence in front, operands that are the same for all lanes and all four warps and stay as they are till the wait, sums and rows in registers that
//     nobody touches meanwhile, a wait at all (op_wgmma.go, wgmma_run.go); and, as for copies, stores that no fence.proxy.async has shown to it;
//   - races on shared memory, and on global memory with Device.Races: two threads, one byte, one of them writing, nothing that orders them.
//     Order comes from barriers of the block, bar.warp.sync within a warp (nothing else: lanes do not run in lockstep), and between warps from
//     release and acquire, or fences around relaxed and volatile accesses, each as far as its scope reaches (order.go). Clocks are kept for whole
//     warps: a release by one lane also covers its warp, and so does a bar.warp.sync of some lanes. Lanes of one instruction may store one value at
//     one place. Launch sees races within a block, LaunchCooperative between blocks too;
//   - ld.global.nc of what the same launch has written;
//   - .uni where lanes part, .aligned where a warp is not together, shfl that reads a lane which takes no part, integer division by zero;
//   - launch shapes: threads of a block, shared memory of the target, parameters.
//
// # Numbers
//
// Arithmetic that PTX defines to the bit is done to the bit: float32 by internal/f32. A NaN that float32 arithmetic makes is 0x7fffffff, as NVIDIA's
// units give it (0x7fff for f16 and bf16). What PTX leaves open (.approx, the order of sums in a floating-point mma, tanh) is computed in double
// and rounded once; Module.Inexact names those instructions, so a test can demand that there is none.
//
// # What is not there
//
// Textures, clusters, other forms of mbarrier, wgmma and bulk copies than isa.go lists, tensor maps, indirect calls, carries, video instructions, .rz/.rm/.rp of arithmetic,
// mma of other shapes than isa.go lists: Parse says so, with the line. The tests give their texts to ptxas where it is found, so what runs here is PTX.
package emu
