; What the code generator uses, in the typed pointers that llir prints: a table
; of kernels, a barrier's atomics, masked and gathered loads, fma, inline asm.
source_filename = "kernel"
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"

%ctx = type { float*, float*, i64, i32, %ctx* }

; Masks lie in memory as i32: llc 14 makes 4 GiB of padding of a constant [2 x <8 x i1>].
@tails = private unnamed_addr constant [2 x <8 x i32>] [<8 x i32> zeroinitializer, <8 x i32> <i32 -1, i32 -1, i32 -1, i32 0, i32 0, i32 0, i32 0, i32 0>]
@phases = internal constant [2 x void (%ctx*, i64)*] [void (%ctx*, i64)* @scale, void (%ctx*, i64)* @gather]

declare <8 x float> @llvm.masked.load.v8f32.p0v8f32(<8 x float>*, i32, <8 x i1>, <8 x float>)
declare void @llvm.masked.store.v8f32.p0v8f32(<8 x float>, <8 x float>*, i32, <8 x i1>)
declare <8 x float> @llvm.masked.gather.v8f32.v8p0f32(<8 x float*>, i32, <8 x i1>, <8 x float>)
declare <8 x float> @llvm.fma.v8f32(<8 x float>, <8 x float>, <8 x float>)
declare void @llvm.prefetch.p0i8(i8*, i32, i32, i32)
declare void @llvm.prefetch.p0f32(float*, i32, i32, i32)

; out[0:3] = x[0:3]*2 + 1
define internal void @scale(%ctx* %c, i64 %w) #0 {
  %px = getelementptr %ctx, %ctx* %c, i64 0, i32 0
  %py = getelementptr %ctx, %ctx* %c, i64 0, i32 1
  %x = load float*, float** %px, align 8
  %y = load float*, float** %py, align 8
  call void @llvm.prefetch.p0f32(float* %x, i32 0, i32 3, i32 1)
  %x8 = bitcast float* %x to i8*
  call void @llvm.prefetch.p0i8(i8* %x8, i32 0, i32 3, i32 1)
  %pm = getelementptr [2 x <8 x i32>], [2 x <8 x i32>]* @tails, i64 0, i64 1
  %mi = load <8 x i32>, <8 x i32>* %pm
  %m = icmp slt <8 x i32> %mi, zeroinitializer
  %xv = bitcast float* %x to <8 x float>*
  %yv = bitcast float* %y to <8 x float>*
  %v = call <8 x float> @llvm.masked.load.v8f32.p0v8f32(<8 x float>* %xv, i32 4, <8 x i1> %m, <8 x float> zeroinitializer)
  %r = call <8 x float> @llvm.fma.v8f32(<8 x float> %v, <8 x float> <float 2.0, float 2.0, float 2.0, float 2.0, float 2.0, float 2.0, float 2.0, float 2.0>, <8 x float> <float 1.0, float 1.0, float 1.0, float 1.0, float 1.0, float 1.0, float 1.0, float 1.0>)
  call void @llvm.masked.store.v8f32.p0v8f32(<8 x float> %r, <8 x float>* %yv, i32 4, <8 x i1> %m)
  ret void
}

; out[8:16] = x[0, 2, 4, ... 14]
define internal void @gather(%ctx* %c, i64 %w) #0 {
  %px = getelementptr %ctx, %ctx* %c, i64 0, i32 0
  %py = getelementptr %ctx, %ctx* %c, i64 0, i32 1
  %x = load float*, float** %px, align 8
  %y = load float*, float** %py, align 8
  %ps = getelementptr float, float* %x, <8 x i64> <i64 0, i64 2, i64 4, i64 6, i64 8, i64 10, i64 12, i64 14>
  %v = call <8 x float> @llvm.masked.gather.v8f32.v8p0f32(<8 x float*> %ps, i32 4, <8 x i1> <i1 1, i1 1, i1 1, i1 1, i1 1, i1 1, i1 1, i1 1>, <8 x float> undef)
  %y8 = getelementptr float, float* %y, i64 8
  %yv = bitcast float* %y8 to <8 x float>*
  store <8 x float> %v, <8 x float>* %yv, align 4
  ret void
}

; Runs all phases of the table, counts them, pauses once: the shape of run().
define i32 @run(float* %x, float* %y, i64 %n) #0 {
entry:
  %c = alloca %ctx, align 8
  %p0 = getelementptr %ctx, %ctx* %c, i64 0, i32 0
  store float* %x, float** %p0, align 8
  %p1 = getelementptr %ctx, %ctx* %c, i64 0, i32 1
  store float* %y, float** %p1, align 8
  %done = getelementptr %ctx, %ctx* %c, i64 0, i32 3
  store atomic i32 0, i32* %done release, align 4
  br label %phase
phase:
  %i = phi i64 [ 0, %entry ], [ %next, %phase ]
  %pf = getelementptr [2 x void (%ctx*, i64)*], [2 x void (%ctx*, i64)*]* @phases, i64 0, i64 %i
  %f = load void (%ctx*, i64)*, void (%ctx*, i64)** %pf, align 8
  call void %f(%ctx* %c, i64 0)
  %was = atomicrmw add i32* %done, i32 1 acq_rel
  %pair = cmpxchg i32* %done, i32 100, i32 0 acq_rel monotonic
  call void asm sideeffect "pause", "~{memory},~{dirflag},~{fpsr},~{flags}"()
  %next = add i64 %i, 1
  %again = icmp ult i64 %next, 2
  br i1 %again, label %phase, label %end
end:
  %count = load atomic i32, i32* %done acquire, align 4
  ret i32 %count
}

attributes #0 = { nounwind "prefer-vector-width"="256" "min-legal-vector-width"="256" }
