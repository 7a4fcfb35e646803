; AVX-512: whole registers, masks, dot products of bytes.
source_filename = "wide"
target triple = "x86_64-pc-linux-gnu"

declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
declare <16 x float> @llvm.masked.load.v16f32.p0v16f32(<16 x float>*, i32, <16 x i1>, <16 x float>)
declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <16 x i32>, <16 x i32>)

define void @axpy(<16 x float>* %x, <16 x float>* %y, i16 %tail) #0 {
  %m = bitcast i16 %tail to <16 x i1>
  %v = call <16 x float> @llvm.masked.load.v16f32.p0v16f32(<16 x float>* %x, i32 4, <16 x i1> %m, <16 x float> zeroinitializer)
  %w = load <16 x float>, <16 x float>* %y, align 64
  %r = call <16 x float> @llvm.fma.v16f32(<16 x float> %v, <16 x float> %v, <16 x float> %w)
  store <16 x float> %r, <16 x float>* %y, align 64
  ret void
}

define void @dot(<16 x i32>* %a, <16 x i32>* %b, <16 x i32>* %acc) #0 {
  %x = load <16 x i32>, <16 x i32>* %a
  %y = load <16 x i32>, <16 x i32>* %b
  %z = load <16 x i32>, <16 x i32>* %acc
  %r = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %z, <16 x i32> %x, <16 x i32> %y)
  store <16 x i32> %r, <16 x i32>* %acc
  ret void
}

attributes #0 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" }
