package llvm

import "bytes"

// OpaquePointers rewrites IR text with the typed pointers of LLVM 14 (float*,
// void (i8*, i64)*, <8 x float*>) to the opaque pointers of later versions
// (ptr), and the names of overloaded intrinsics with them (.p0v8f32 to .p0).
// Declarations of intrinsics that become the same are kept once. Text that has
// opaque pointers already stays as it is.
//
// No parser is needed: in IR text a star outside of strings and comments only
// ever ends a pointer type. So the text is copied forward, and at each star the
// type that stands last in the output is found backwards and replaced by ptr.
// Each byte is looked at once forward and at most once backward, since what was
// looked at backward is gone: linear in the length of the text.
func OpaquePointers(ir []byte) []byte {
	r := rewriter{in: ir, out: make([]byte, 0, len(ir))}
	for r.pos < len(ir) {
		switch c := ir[r.pos]; c {
		case '"':
			r.copyString()
		case ';':
			r.copyLine()
		case '@':
			r.copyGlobal()
		case '*':
			r.star()
		case '\n':
			r.out = append(r.out, c)
			r.pos++
			r.endLine()
		default:
			r.out = append(r.out, c)
			r.pos++
		}
	}
	r.endLine()
	return r.out
}

type rewriter struct {
	in, out   []byte
	pos       int // next byte of in
	lineStart int // where the current line begins in out
	starEnd   int // where the last rewritten type ends in out
	declared  map[string]bool
}

// copyString copies a quoted string; a quote inside is written \22.
func (r *rewriter) copyString() {
	n := bytes.IndexByte(r.in[r.pos+1:], '"')
	if n < 0 {
		n = len(r.in) - r.pos - 2
	}
	r.out = append(r.out, r.in[r.pos:r.pos+n+2]...)
	r.pos += n + 2
}

// copyLine copies a comment, without the end of its line.
func (r *rewriter) copyLine() {
	n := bytes.IndexByte(r.in[r.pos:], '\n')
	if n < 0 {
		n = len(r.in) - r.pos
	}
	r.out = append(r.out, r.in[r.pos:r.pos+n]...)
	r.pos += n
}

// copyGlobal copies @name, and renames it if it is an intrinsic's.
func (r *rewriter) copyGlobal() {
	end := r.pos + 1
	for end < len(r.in) && isIdent(r.in[end]) {
		end++
	}
	name := r.in[r.pos:end]
	r.pos = end
	if bytes.HasPrefix(name, []byte("@llvm.")) {
		r.out = appendIntrinsic(r.out, name)
		return
	}
	r.out = append(r.out, name...)
}

// star replaces the type at the end of out, together with the star in in.
func (r *rewriter) star() {
	r.pos++
	end := trimSpace(r.out, len(r.out))
	start := typeStart(r.out, end)
	if start < 0 { // this is no IR: leave the rest as it is, llc will say what is wrong
		r.out = append(r.out, r.in[r.pos-1:]...)
		r.pos = len(r.in)
		return
	}
	var space []byte
	if end != r.starEnd { // else the address space is that of the pointer that is pointed to
		space = addressSpace(r.out[start:end])
	}
	r.out = append(r.out[:start], "ptr"...)
	if len(space) > 0 {
		r.out = append(append(r.out, ' '), space...)
	}
	r.starEnd = len(r.out)
}

// endLine drops the line that has just ended when it declares an intrinsic that
// was declared before.
func (r *rewriter) endLine() {
	line := r.out[r.lineStart:]
	if name := declaredIntrinsic(line); name != "" {
		if r.declared == nil {
			r.declared = make(map[string]bool)
		}
		if r.declared[name] {
			r.out = r.out[:r.lineStart]
		}
		r.declared[name] = true
	}
	r.lineStart = len(r.out)
}

// declaredIntrinsic is the name in a line "declare T @llvm.name(...", or "".
func declaredIntrinsic(line []byte) string {
	if !bytes.HasPrefix(line, []byte("declare ")) {
		return ""
	}
	at := bytes.Index(line, []byte("@llvm."))
	if at < 0 {
		return ""
	}
	n := bytes.IndexByte(line[at:], '(')
	if n < 0 {
		return ""
	}
	return string(line[at : at+n])
}

// typeStart finds where the type that ends at out[end] begins, or -1. A type is
// a word (float, %T, %"a name", ptr), a bracketed one ([4 x i8], { i8, i8 },
// <8 x float>), a function's (T (T, T)) or one with an address space after it.
func typeStart(out []byte, end int) int {
	for {
		end = trimSpace(out, end)
		if end == 0 {
			return -1
		}
		switch c := out[end-1]; {
		case c == ')':
			open := matchingOpen(out, end)
			if open < 0 {
				return -1
			}
			const word = "addrspace"
			if bytes.HasSuffix(out[:open], []byte(word)) {
				open -= len(word)
			}
			end = open // what stands before belongs to the type: the result, or the pointee
		case c == ']' || c == '}' || c == '>':
			return matchingOpen(out, end)
		case c == '"':
			open := bytes.LastIndexByte(out[:end-1], '"')
			if open < 1 || out[open-1] != '%' {
				return -1
			}
			return open - 1
		case isIdent(c):
			start := end - 1
			for start > 0 && isIdent(out[start-1]) {
				start--
			}
			if start > 0 && out[start-1] == '%' {
				start--
			}
			return start
		default:
			return -1
		}
	}
}

// matchingOpen finds the bracket that the one before end closes, or -1. Names
// in quotes may hold brackets of their own.
func matchingOpen(out []byte, end int) int {
	depth := 0
	for i := end - 1; i >= 0; i-- {
		switch out[i] {
		case ')', ']', '}', '>':
			depth++
		case '(', '[', '{', '<':
			depth--
			if depth == 0 {
				return i
			}
		case '"':
			i = bytes.LastIndexByte(out[:i], '"')
			if i < 0 {
				return -1
			}
		case '\n':
			return -1 // no type that we meet goes over lines; bounds the search in broken text
		}
	}
	return -1
}

// addressSpace is the addrspace(N) at the end of a type, or nothing.
func addressSpace(typ []byte) []byte {
	if len(typ) == 0 || typ[len(typ)-1] != ')' {
		return nil
	}
	open := matchingOpen(typ, len(typ))
	const word = "addrspace"
	if open < len(word) || string(typ[open-len(word):open]) != word {
		return nil
	}
	return bytes.Clone(typ[open-len(word):])
}

func trimSpace(b []byte, end int) int {
	for end > 0 && (b[end-1] == ' ' || b[end-1] == '\t') {
		end--
	}
	return end
}

func isIdent(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '$' || c == '-'
}

// appendIntrinsic appends an intrinsic's name with what its overloaded pointer
// types point to taken out of it: .p0v8f32 is .p0, .v8p0f32 is .v8p0.
func appendIntrinsic(out, name []byte) []byte {
	for len(name) > 0 {
		n := bytes.IndexByte(name[1:], '.') + 1
		if n == 0 {
			n = len(name)
		}
		out = append(out, pointerPart(name[:n])...)
		name = name[n:]
	}
	return out
}

// pointerPart cuts ".p0v8f32" to ".p0" and ".v8p0f32" to ".v8p0". Parts that
// only look alike, such as ".prefetch" or ".ptrmask", have no digit after the p.
func pointerPart(part []byte) []byte {
	i := 1
	if i < len(part) && part[i] == 'v' {
		d := digits(part, i+1)
		if d == i+1 {
			return part
		}
		i = d
	}
	if i >= len(part) || part[i] != 'p' {
		return part
	}
	d := digits(part, i+1)
	if d == i+1 {
		return part
	}
	return part[:d]
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
