package emu

import "testing"

// benchmark runs a loop of a thousand rounds in eight warps and reports millions of lane instructions a second.
func benchmark(b *testing.B, before, body string) {
	text := before + one("mov.u32 %r50, 0;\nmov.u32 %r1, %t0; mov.u32 %r2, 3; mov.f32 %f1, 1.5; mov.f32 %f2, 0.75; mov.b64 %rd1, 5; mad.wide.u32 %rd2, %t0, 16, %out;\n"+
		"$loop:\n"+body+"\nadd.u32 %r50, %r50, 1;\nsetp.lt.u32 %p7, %r50, 1000;\n@%p7 bra $loop;")
	d := device(b, text)
	out := d.Alloc("out", 1<<16)
	b.ResetTimer()
	for b.Loop() {
		if err := d.LaunchCooperative("k", [3]int{1, 1, 1}, [3]int{256, 1, 1}, 0, U64(out)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(d.Stats.LaneInstructions)/1e6/b.Elapsed().Seconds(), "Mlane/s")
}

func BenchmarkInteger(b *testing.B) {
	benchmark(b, "", "add.u32 %r1, %r1, %r2; mad.lo.u32 %r3, %r1, %r2, 7; xor.b32 %r4, %r3, %r1; shr.u32 %r5, %r4, 3; add.u64 %rd1, %rd1, 9;")
}

func BenchmarkFMA(b *testing.B) {
	benchmark(b, "", "fma.rn.f32 %f3, %f1, %f2, %f1; fma.rn.f32 %f4, %f3, %f2, %f1; mul.rn.f32 %f5, %f3, %f4; add.rn.f32 %f1, %f5, 0f00000000;")
}

func BenchmarkGlobal(b *testing.B) {
	benchmark(b, "", "ld.global.v4.f32 {%f3, %f4, %f5, %f6}, [%rd2]; ld.global.u32 %r3, [%rd2+4]; st.global.f32 [%rd2], %f3;")
}

func BenchmarkShared(b *testing.B) {
	benchmark(b, ".shared .align 16 .b8 x[1024];\n", "mov.u32 %r3, x; mad.lo.u32 %r3, %t0, 4, %r3; st.shared.f32 [%r3], %f1; ld.shared.f32 %f3, [%r3]; bar.sync 0;")
}

func BenchmarkMMA(b *testing.B) {
	benchmark(b, "", "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r10, %r11, %r12, %r13}, {%r1, %r1, %r2, %r2}, {%r1, %r2}, {%r1, %r1, %r1, %r1};")
}

func BenchmarkDivergent(b *testing.B) {
	benchmark(b, "", "and.b32 %r3, %ln, 1; setp.eq.u32 %p1, %r3, 0; @%p1 bra $even; add.u32 %r1, %r1, 1; bra $next; $even: add.u32 %r1, %r1, 2; $next: shfl.sync.bfly.b32 %r4, %r1, 1, 31, -1;")
}
