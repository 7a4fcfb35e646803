#include "textflag.h"

// What the machine can do at best, in the plainest code: 64 bytes at a time from memory into eight sums, and multiply-adds
// between registers only. Go's compiler makes no vector code, so these loops are written by hand.

// func readAVX2(p unsafe.Pointer, n int) uint64
// n is a multiple of 256, above 0.
TEXT ·readAVX2(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
	VPXOR Y6, Y6, Y6
	VPXOR Y7, Y7, Y7
read:
	VPADDQ (SI), Y0, Y0
	VPADDQ 32(SI), Y1, Y1
	VPADDQ 64(SI), Y2, Y2
	VPADDQ 96(SI), Y3, Y3
	VPADDQ 128(SI), Y4, Y4
	VPADDQ 160(SI), Y5, Y5
	VPADDQ 192(SI), Y6, Y6
	VPADDQ 224(SI), Y7, Y7
	ADDQ $256, SI
	SUBQ $256, CX
	JNZ  read
	VPADDQ Y1, Y0, Y0
	VPADDQ Y3, Y2, Y2
	VPADDQ Y5, Y4, Y4
	VPADDQ Y7, Y6, Y6
	VPADDQ Y2, Y0, Y0
	VPADDQ Y6, Y4, Y4
	VPADDQ Y4, Y0, Y0
	VMOVQ  X0, AX
	VZEROUPPER
	MOVQ AX, ret+16(FP)
	RET

// func readAVX512(p unsafe.Pointer, n int) uint64
// n is a multiple of 512, above 0.
TEXT ·readAVX512(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	VPXORQ Z0, Z0, Z0
	VPXORQ Z1, Z1, Z1
	VPXORQ Z2, Z2, Z2
	VPXORQ Z3, Z3, Z3
	VPXORQ Z4, Z4, Z4
	VPXORQ Z5, Z5, Z5
	VPXORQ Z6, Z6, Z6
	VPXORQ Z7, Z7, Z7
read:
	VPADDQ (SI), Z0, Z0
	VPADDQ 64(SI), Z1, Z1
	VPADDQ 128(SI), Z2, Z2
	VPADDQ 192(SI), Z3, Z3
	VPADDQ 256(SI), Z4, Z4
	VPADDQ 320(SI), Z5, Z5
	VPADDQ 384(SI), Z6, Z6
	VPADDQ 448(SI), Z7, Z7
	ADDQ $512, SI
	SUBQ $512, CX
	JNZ  read
	VPADDQ Z1, Z0, Z0
	VPADDQ Z3, Z2, Z2
	VPADDQ Z5, Z4, Z4
	VPADDQ Z7, Z6, Z6
	VPADDQ Z2, Z0, Z0
	VPADDQ Z6, Z4, Z4
	VPADDQ Z4, Z0, Z0
	VMOVQ  X0, AX
	VZEROUPPER
	MOVQ AX, ret+16(FP)
	RET

// Twelve chains of dependent multiply-adds keep both units of any CPU busy at a latency of up to six.

// func fmaAVX2(rounds int)
TEXT ·fmaAVX2(SB), NOSPLIT, $0-8
	MOVQ rounds+0(FP), CX
	VZEROALL
multiply:
	VFMADD213PS Y14, Y13, Y0
	VFMADD213PS Y14, Y13, Y1
	VFMADD213PS Y14, Y13, Y2
	VFMADD213PS Y14, Y13, Y3
	VFMADD213PS Y14, Y13, Y4
	VFMADD213PS Y14, Y13, Y5
	VFMADD213PS Y14, Y13, Y6
	VFMADD213PS Y14, Y13, Y7
	VFMADD213PS Y14, Y13, Y8
	VFMADD213PS Y14, Y13, Y9
	VFMADD213PS Y14, Y13, Y10
	VFMADD213PS Y14, Y13, Y11
	DECQ CX
	JNZ  multiply
	VZEROUPPER
	RET

// func fmaAVX512(rounds int)
TEXT ·fmaAVX512(SB), NOSPLIT, $0-8
	MOVQ rounds+0(FP), CX
	VZEROALL
multiply:
	VFMADD213PS Z14, Z13, Z0
	VFMADD213PS Z14, Z13, Z1
	VFMADD213PS Z14, Z13, Z2
	VFMADD213PS Z14, Z13, Z3
	VFMADD213PS Z14, Z13, Z4
	VFMADD213PS Z14, Z13, Z5
	VFMADD213PS Z14, Z13, Z6
	VFMADD213PS Z14, Z13, Z7
	VFMADD213PS Z14, Z13, Z8
	VFMADD213PS Z14, Z13, Z9
	VFMADD213PS Z14, Z13, Z10
	VFMADD213PS Z14, Z13, Z11
	DECQ CX
	JNZ  multiply
	VZEROUPPER
	RET

// func cycles() uint64
// The time stamp counter, which the object code's trace is in.
TEXT ·cycles(SB), NOSPLIT, $0-8
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET
