package spmd

import (
	"strings"
	"testing"
)

// TestAsyncFaults: a copy is on its way until it is waited for.
func TestAsyncFaults(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"fine", "copyasync %1 %2 %0 %2\ncopygroup\ncopywait 0\n%4 = load i32 %1", ""},
		{"read before the wait", "copyasync %1 %2 %0 %2\ncopygroup\n%4 = load i32 %1", "bytes 0 to 4 of team scratch: a copy to them may not have arrived"},
		{"written before the wait", "copyasync %1 %2 %0 %2\ncopygroup\n%4 = const i32 1\nstore %1 + 8 = %4", "may not have arrived"},
		{"another group", "copyasync %1 %2 %0 %2\ncopygroup\ncopywait 1\n%4 = load i32 %1", "may not have arrived"},
		{"no group", "copyasync %1 %2 %0 %2\ncopywait 0\n%4 = load i32 %1", "may not have arrived"},
		{"twice", "copyasync %1 %2 %0 %2\ncopyasync %1 %2 %0 %2\ncopygroup\ncopywait 0", "may not have arrived"},
		{"never", "copyasync %1 %2 %0 %2\ncopygroup", "8 copies into scratch were not waited for"},
		{"misaligned", "copyasync %1 %3 %0 %2", "lane 1 copies from byte 16 to byte 4: multiples of 16"},
		{"into memory", "copyasync %0 %2 %0 %2", "copies into work, not into scratch"},
		{"out of scratch", "copyasync %1 %2 %1 %2", "copies out of scratch"},
		{"out of bounds", "%4 = offset *i32 %1 %5\ncopyasync %4 %2 %0 %2", "of team scratch, which has 128"},
	} {
		text := "kernel k lanes 8 team 128 (y *i32 work) {\n%0 = param *i32 0\n%1 = scratch *i32 0\n%3 = lane <i32>\n%2 = shl <i32> %3 2\n%5 = const i64 16\n" + c.body + "\n}"
		k, err := ParseKernel(text)
		if err == nil {
			p := program(k, target(8), Grid{Panels: 2}, 0)
			var m *Machine
			if m, err = NewMachine(p, make([]byte, p.WeightBytes), 1); err == nil {
				err = m.Step(p, oneSequence(1))
			}
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want ...%s...", c.name, err, c.want)
		}
	}
}

// TestFragmentsWant 32 lanes, four results, and tiles.
func TestFragmentsWant(t *testing.T) {
	for _, lanes := range []string{"8", "32"} {
		k, err := ParseKernel("kernel k lanes " + lanes + " team 0 () {\n%0 = lane <i32>\n%1, %2 = mmai8 <i32>, <i32> %0 %0 %0 %0 %0 %0 %0 %0 %0 %0\n}")
		if err != nil {
			t.Fatal(err)
		}
		err = k.Verify()
		if err == nil || !strings.Contains(err.Error(), "has four results, 2 are taken") || lanes == "8" != strings.Contains(err.Error(), "fragments are for 32 lanes, the kernel has 8") {
			t.Errorf("%s lanes: %v", lanes, err)
		}
	}
	k, err := ParseKernel("kernel k lanes 32 team 0 () {\n%0 = lane <i32>\n%1, %2, %3, %4 = mmai8 <i32>, <i32>, <i32>, <i32> %0 %0 %0 %0 %0 %0 %0 %0 %0 %0\n}")
	if err != nil {
		t.Fatal(err)
	}
	if err := program(k, target(32), Grid{Panels: 1}).Verify(); err == nil || !strings.Contains(err.Error(), "the target has no tiles") {
		t.Errorf("without tiles: %v", err)
	}
}
