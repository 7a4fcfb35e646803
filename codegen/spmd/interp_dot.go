package spmd

// dot4 sums products of signed bytes. A -128 is refused: CPUs without a product of signed bytes take |a| and b with a's sign, and -b is then none.
// It may stand where it is multiplied by 0: padding is not looked at.
func dot4(f *frame, in *inst) {
	d, acc, a, b := f.i[in.d:][:in.n], f.i[in.a:][:in.n], f.i[in.b:][:in.n], f.i[in.c:][:in.n]
	for l := range d {
		sum, x, y := acc[l], uint32(a[l]), uint32(b[l])
		for range 4 {
			p, q := int32(int8(x)), int32(int8(y))
			if (p == -128 || q == -128) && p*q != 0 {
				f.fail(in, "lane %d: bytes %d and %d: dot4 is for -127..127", l, p, q)
				return
			}
			sum += p * q
			x, y = x>>8, y>>8
		}
		d[l] = sum
	}
}

// dot4u has a's bytes unsigned, and refuses pairs above the bound that backends rely on, without those that are multiplied by 0.
func dot4u(f *frame, in *inst) {
	d, acc, a, b := f.i[in.d:][:in.n], f.i[in.a:][:in.n], f.i[in.b:][:in.n], f.i[in.c:][:in.n]
	most := int32(in.imm)
	for l := range d {
		sum, x, y := acc[l], uint32(a[l]), uint32(b[l])
		for range 2 {
			var pair int32
			for range 2 {
				p, q := int32(uint8(x)), int32(int8(y))
				if q != 0 {
					pair += p
				}
				sum += p * q
				x, y = x>>8, y>>8
			}
			if pair > 2*most {
				f.fail(in, "lane %d: two bytes of a are %d together: they were to be %d at most", l, pair, 2*most)
				return
			}
		}
		d[l] = sum
	}
}

// dot2 wraps where two products of -32768 by itself meet, as the machine does.
func dot2(f *frame, in *inst) {
	d, acc, a, b := f.i[in.d:][:in.n], f.i[in.a:][:in.n], f.i[in.b:][:in.n], f.i[in.c:][:in.n]
	for l := range d {
		d[l] = acc[l] + int32(int16(a[l]))*int32(int16(b[l])) + (a[l]>>16)*(b[l]>>16)
	}
}

func byte16(f *frame, in *inst) {
	d, a := f.i[in.d:][:in.n], f.i[in.a:][:in.n]
	for l, x := range a {
		x >>= 8 * in.imm
		d[l] = int32(int8(x>>16))<<16 | int32(uint16(int8(x)))
	}
}

// mma8 multiplies row by row. Any byte is right here: machines that have tiles multiply signed bytes.
func mma8(f *frame, in *inst) {
	c, a, b := f.p[in.list[0]], f.p[in.list[1]], f.p[in.list[2]]
	k, rows := f.l[in.list[3]], f.l[in.list[4]]
	s, cols, run := in.src.Strides, 16*in.imm, in.src.Strides.run()
	if rows < 1 || rows > 16 || k < 0 || k > farIndex {
		f.fail(in, "%d rows of %d groups: 1..16 rows and at least 0 groups are wanted", rows, k)
		return
	}
	for m := range rows {
		sums := f.sized(in, c, 4, m*s.C, cols, true)
		if f.stop {
			return
		}
		for g := range k {
			// Element by element: an error then says which, and nothing needs room for a whole row.
			x := f.sized(in, a, 1, m*s.A+4*g, 4, false)
			y := f.sized(in, b, 1, g/run*s.B, 4*cols*run, false)
			if f.stop {
				return
			}
			for n := range cols {
				w := y[4*(n*run+g%run):][:4]
				sum := int32(int8(x[0]))*int32(int8(w[0])) + int32(int8(x[1]))*int32(int8(w[1])) +
					int32(int8(x[2]))*int32(int8(w[2])) + int32(int8(x[3]))*int32(int8(w[3]))
				le.PutUint32(sums[4*n:], le.Uint32(sums[4*n:])+uint32(sum))
			}
		}
	}
}
