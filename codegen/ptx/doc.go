// Package ptx turns an SPMD program into PTX text for NVIDIA GPUs: one module, one entry, one cooperative launch a step.
//
// A varying value is one register a thread, so a member of a team is a warp and W is 32. A uniform value is the same register in all threads of
// the warp: it is computed by all of them. A team is as many warps as share a tile in any of the kernels; a block holds one or several teams. A worker,
// which takes tiles as one of a CPU does, is a warp for most kernels and a team for those that share their tiles. Float arithmetic has a rounding mode written out (.rn), no .ftz and no .approx, so the bits are those of the interpreter.
//
// # A module
//
//	.extern .shared .align 128 .b8 <prefix>_shared[];     scratch of the block's teams, if a kernel's fits
//	.visible .global .align 8 .b64 <prefix>_facts[32]     sizes (docs/ptx.md)
//	.visible .global .align 1 .b8  <prefix>_weights_sha256[65]
//	.global .align 8 .b64 <prefix>_phases[], _launches[], _args[]    the program as tables, each line with its phase and checkpoint tensor
//	.func <prefix>_k<number>_<kernel> (ctx, args, lo, hi, team, shared)    tiles lo..hi-1 of a launch
//	.visible .entry <prefix>_step (.param .u64 <prefix>_step_ctx)
//
// The entry is launched with a grid of (blocks, 1, 1) blocks that are all resident (cooperative) of (threads, 1, 1) threads, a multiple of
// a team's and at most facts' most, and facts' shared bytes a team of dynamic shared memory. Its one parameter points to a struct of device
// pointers and counts in global memory. It goes through the phases; between two of them lies a grid barrier: bar.sync 0 of the block, then one
// thread of it counts itself in by atom.add.release.gpu and spins with ld.acquire.gpu, then bar.sync 0 again.
//
// Kernels are called by call.uni from a brx.idx.uni on the launch's kernel number; those with wgmma stand there themselves, in braces with registers of their own. Parameters of a .func are registers: (.reg .b64 %ctx, .reg
// .b64 %args, .reg .b32 %lo, .reg .b32 %hi, .reg .b64 %team, .reg .b32 %shared), and so are the arguments; nothing is returned.
//
// # Files
//
//	target.go              the GPUs that there is code for, and what a template has to know of them
//	module.go, tables.go   what stands in a module, and the program as tables
//	context.go             a module's facts
//	step.go, phases.go     the entry: checks, phases, this worker's tiles, the grid barrier
//	ahead.go               weights that are asked for before they are wanted
//	kernel.go, ops.go, memory.go, vector.go, async.go, bulk.go, mma.go, mma_runs.go, quad.go   a kernel's function
//	once.go                what is in a register already
//	ranges.go, linear.go   what is known of indices: their bounds, and how they are made up
//	order.go               where the lanes of a warp must meet
//	text.go                a function's body in the making: registers, labels, lines
//	ptxas.go               the assembler, which checks what was printed
//
// # Instructions
//
// What is emitted, and so what codegen/ptx/emu has to run. T is a register of any type listed, [a] is [register] or [register+constant] or
// [register+-constant] with a constant in bytes; immediates are decimal integers, 0x hexadecimal, or 0f and eight hexadecimal digits. Any
// instruction may be guarded by @%p or @!%p. Labels begin with $. Names of registers begin with % and are declared by .reg .TYPE %x<N>; or
// .reg .TYPE %name;.
//
//	mov.{b16,b32,b64,f32,pred,u32,u64} d, a     a also %tid.x %ntid.x %ctaid.x %nctaid.x %laneid %dynamic_smem_size (u32), %globaltimer (u64), or a variable's
//	                                            name: the address in its space (mov.u64 for global, mov.u32 for shared)
//	mov.b32 {%h, %h}, %r                        the two halves, the low one first; mov.b32 %r, {%h, %h} the other way
//	ld.param.u64 d, [name]
//	ld.{global,shared}.{u8,s8,u16,b16,b32,f32,b64} d, [a]     narrow loads into .b32 registers widen by zeros (u) or sign (s)
//	ld.global.nc[.L1::no_allocate].{the same} d, [a]          read-only memory
//	ld.{global,global.nc[.L1::no_allocate],shared}.{v2,v4}.{b32,f32} {d, ...}, [a]    aligned to the whole
//	cp.async.cg.shared.global [a], [b], 16      cp.async.commit_group    cp.async.wait_group n
//	st.{global,shared}.{b8,b16,b32,f32,b64} [a], s            narrow stores take the low bits; .{v2,v4}.{b32,f32} [a], {s, ...}
//	ld.acquire.gpu.global.u32, atom.add.release.gpu.global.u32 d, [a], b
//	prefetch.global.L2 [a]
//	add sub .{s32,s64} .rn.f32       mul.lo.{s32,s64} mul.wide.{s32,u32} mul.rn.f32       mad.lo.{s32,s64} mad.wide.{s32,u32,s16}
//	div rem .{u32,u64}   div.rn.f32   sqrt.rn.f32   fma.rn.f32   min max .{s32,s64,f32}   neg.{s32,s64,f32}   abs.f32
//	and or xor not .{b32,b64,pred}   shl.{b32,b64}   shr.{s32,s64,u32,u64}
//	setp.{eq,ne,lt,le,gt,ge}.{s32,s64,u32,u64} %p, a, b    setp.{eq,neu,lt,le,gt,ge}.f32 %p, a, b
//	selp.{b32,b64,f32} d, a, b, %p
//	cvt.{s64.s32,u64.u32,u32.u64,rn.f32.s32,rni.s32.f32,f32.f16,rn.f16.f32,rn.bf16.f32} d, a    cvt.rn.bf16x2.f32 d, high, low
//	dp4a.{s32.s32,u32.s32} d, a, b, c           the first type is a's
//	prmt.b32 d, a, b, selector                  a constant selector; nibble bit 3 spreads the sign
//	shfl.sync.{bfly,idx}.b32 d, a, lane, 31, 0xffffffff
//	mma.sync.aligned.{m16n8k32.row.col.s32.s8.s8.s32,m16n8k16.row.col.f32.bf16.bf16.f32} {d0..d3}, {a0..a3}, {b0, b1}, {c0..c3}
//	mbarrier.{init,inval}.shared.b64 [a]{, 1}    mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [a], bytes    mbarrier.arrive.shared.b64 _, [a]
//	mbarrier.try_wait.parity.shared.b64 %p, [a], parity       these and all down to wgmma: sm_90a alone
//	cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [a], [b], bytes, [mbarrier]    fence.proxy.async.shared::cta
//	wgmma.mma_async.sync.aligned.m64n<N>{k32.s32.s8.s8,k8.f32.tf32.tf32,k16.f32.bf16.bf16} {d...}, a, b, %p{, 1, 1}{, 0}    a and b descriptors (.b64), or a {a0..a3}
//	wgmma.{fence,commit_group}.sync.aligned    wgmma.wait_group.sync.aligned 0
//	bar.warp.sync 0xffffffff    bar.sync id, threads    (id a register or constant; bar.sync 0 alone: the whole block)
//	bra.uni $l    bra $l    brx.idx.uni %r, list    with "list: .branchtargets $a, $b;" before it    call.uni name, (args)    ret
//
// # Lanes and memory
//
// Lanes of a warp run apart where the hardware likes. Where a lane may touch what another lane of the same member stored (or loaded, before it
// is overwritten), the printer puts bar.warp.sync between the two; only memory of the same space can meet (order.go). What members and blocks
// see of each other is ordered by the kernel language's barrier and by the end of a phase. A uniform store is done by lane 0 alone.
package ptx
