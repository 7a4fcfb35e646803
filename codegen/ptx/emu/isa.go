package emu

// opcode is one instruction: its forms, and what compiles them.
type opcode struct {
	forms   string // as documentation; every one has a test
	compile func(*compiler)
}

// isa is every instruction that the emulator knows. Nothing else lists them; the tests walk it.
var isa = map[string]opcode{
	// Integers.
	"add":   {".{u16,s16,u32,s32,u64,s64} d, a, b; {.rn}{.ftz}{.sat}.{f32,f64,f16,f16x2,bf16,bf16x2}", compileAdd},
	"sub":   {"as add", compileSub},
	"mul":   {".{lo,hi,wide}.int d, a, b; {.rn}{.ftz}{.sat}.float", compileMul},
	"mad":   {".{lo,hi,wide}.int d, a, b, c", compileMad},
	"fma":   {".rn{.ftz}{.sat}.float d, a, b, c", compileFMA},
	"div":   {".int d, a, b; .{rn,approx,full}{.ftz}.f32; .rn.f64", compileDiv},
	"rem":   {".int d, a, b", compileRem},
	"min":   {".int d, a, b; {.ftz}{.NaN}.float", compileMin},
	"max":   {"as min", compileMax},
	"neg":   {".{s16,s32,s64} d, a; {.ftz}.float", compileNeg},
	"abs":   {"as neg", compileAbs},
	"and":   {".{pred,b16,b32,b64} d, a, b", compileAnd},
	"or":    {"as and", compileOr},
	"xor":   {"as and", compileXor},
	"not":   {".{pred,b16,b32,b64} d, a", compileNot},
	"cnot":  {".{b16,b32,b64} d, a", compileCnot},
	"shl":   {".{b16,b32,b64} d, a, bits", compileShl},
	"shr":   {".{b,u,s}{16,32,64} d, a, bits", compileShr},
	"shf":   {".{l,r}.{wrap,clamp}.b32 d, low, high, bits", compileShf},
	"bfe":   {".{u32,s32,u64,s64} d, a, pos, len", compileBfe},
	"bfi":   {".{b32,b64} d, a, into, pos, len", compileBfi},
	"bfind": {"{.shiftamt}.{u32,s32,u64,s64} d, a", compileBfind},
	"brev":  {".{b32,b64} d, a", compileBrev},
	"clz":   {".{b32,b64} d, a", compileClz},
	"popc":  {".{b32,b64} d, a", compilePopc},
	"lop3":  {".b32 d, a, b, c, table", compileLop3},
	"prmt":  {".b32{.f4e,.b4e,.rc8,.ecl,.ecr,.rc16} d, a, b, selector", compilePrmt},
	"dp4a":  {".{u32,s32}.{u32,s32} d, a, b, c", compileDp4a},
	"dp2a":  {".{lo,hi}.{u32,s32}.{u32,s32} d, a, b, c", compileDp2a},

	// Floats that are not there for integers.
	"sqrt":     {".{rn,approx}{.ftz}.f32 d, a; .rn.f64", compileSqrt},
	"rcp":      {"as sqrt", compileRcp},
	"rsqrt":    {".approx{.ftz}.{f32,f64} d, a", compileRsqrt},
	"ex2":      {".approx{.ftz}.f32 d, a", compileEx2},
	"lg2":      {".approx{.ftz}.f32 d, a", compileLg2},
	"sin":      {".approx{.ftz}.f32 d, a", compileSin},
	"cos":      {".approx{.ftz}.f32 d, a", compileCos},
	"tanh":     {".approx.f32 d, a", compileTanh},
	"copysign": {".{f32,f64} d, sign, magnitude", compileCopysign},
	"testp":    {".{finite,infinite,number,notanumber,normal,subnormal}.{f32,f64} p, a", compileTestp},

	// Moving, choosing, converting.
	"mov":      {".{pred,b16,b32,b64,u,s,f32,f64} d, a: a register, constant, special register or variable; {a, b}, d and back", compileMov},
	"cvt":      {"{.rn,.rni,.rzi,.rmi,.rpi,.rna}{.ftz}{.sat}.dtype.stype d, a; .rn.{f16x2,bf16x2}.f32 d, a, b; .pack.sat.type.s32{.b32}", compileCvt},
	"cvta":     {"{.to}.{global,shared,local,const}.u64 d, a", compileCvta},
	"isspacep": {".{global,shared,local,const} p, a", compileIsspacep},
	"selp":     {".type d, a, b, p", compileSelp},
	"slct":     {".type.{s32,f32} d, a, b, c", compileSlct},
	"setp":     {".cmp{.and,.or,.xor}{.ftz}.type p{|q}, a, b{, {!}r}", compileSetp},
	"set":      {".cmp{.and,.or,.xor}{.ftz}.{u32,s32,f32}.type d, a, b{, {!}r}", compileSet},

	// Memory.
	"ld":           {"{.weak,.volatile,.relaxed.scope,.acquire.scope}{.space}{.nc}{.cache}{.v2,.v4}.type d, [a]", compileLd},
	"ldu":          {"as ld.global", compileLd},
	"st":           {"{.weak,.volatile,.relaxed.scope,.release.scope}{.space}{.cache}{.v2,.v4}.type [a], b", compileSt},
	"atom":         {"{.sem}{.scope}{.space}.{add,inc,dec,exch,cas,min,max,and,or,xor}.type d, [a], b{, c}", compileAtom},
	"red":          {"the same without d", compileRed},
	"prefetch":     {"{.space}.{L1,L2} [a]: nothing", compilePrefetch},
	"prefetchu":    {".L1 [a]: nothing", compilePrefetch},
	"createpolicy": {".fractional.L2::x{.L2::y}.b64 d{, f}: a number that means nothing", compileCreatePolicy},
	"cp":           {".async.{ca,cg}.shared.global [d], [a], 4|8|16{, bytes}; .async.{commit_group,wait_group n,wait_all}; .async.bulk.prefetch.L2.global; .async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [d], [a], bytes, [mbarrier]", compileCp},
	"membar":       {".{cta,gl,sys}", compileFence},
	"fence":        {"{.sc,.acq_rel}.{cta,cluster,gpu,sys}; .proxy.async{.shared::cta}", compileFence},

	"mbarrier": {".{init,inval,expect_tx.relaxed.cta,arrive,try_wait.parity,test_wait.parity}.shared.b64", compileMbarrier},

	// Between lanes.
	"shfl":       {".sync.{idx,up,down,bfly}.b32 d{|p}, a, b, c, mask", compileShfl},
	"vote":       {".sync.{all,any,uni}.pred p, {!}q, mask; .sync.ballot.b32 d, {!}q, mask", compileVote},
	"match":      {".sync.any.{b32,b64} d, a, mask", compileMatch},
	"redux":      {".sync.{add,min,max,and,or,xor}.{u32,s32,b32} d, a, mask", compileRedux},
	"activemask": {".b32 d", compileActivemask},
	"ldmatrix":   {".sync.aligned.m8n8.{x1,x2,x4}{.trans}.shared.b16 {d}, [a]", compileLdmatrix},
	"mma":        {".sync.aligned.{m16n8k16,m16n8k32}.row.col{.satfinite}.s32.{s8,u8}.{s8,u8}.s32; .{m16n8k8,m16n8k16}.row.col.f32.{f16,bf16}.x.f32; m16n8k8 tf32", compileMMA},
	"wgmma":      {".{fence,commit_group,wait_group n}.sync.aligned; .mma_async.sync.aligned.m64nN{k32.s32.s8.s8,k16.f32.bf16.bf16,k8.f32.tf32.tf32} {d}, descriptor|{a}, descriptor, p{, 1, 1{, 0}{, 0}}", compileWgmma},
	"bar":        {".warp.sync mask; .sync a{, b}; .arrive a, b; .red.{popc.u32,and.pred,or.pred} d, a{, b}, {!}p", compileBar},
	"barrier":    {"{.cta}.{sync,arrive,red}{.aligned}: as bar", compileBar},

	// Flow.
	"bra":            {"{.uni} label", compileBra},
	"brx":            {".idx{.uni} a, list", compileBrx},
	"call":           {"{.uni} {(result),} function{, (arguments)}", compileCall},
	"ret":            {"{.uni}", compileRet},
	"exit":           {"", compileExit},
	"trap":           {": an error", compileTrap},
	"brkpt":          {": an error", compileTrap},
	"nanosleep":      {".u32 t: gives way", compileNanosleep},
	"pmevent":        {"n: nothing", compilePmevent},
	"griddepcontrol": {".{wait,launch_dependents}: nothing", compileGriddep},
}
