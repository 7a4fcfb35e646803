// Package examples tests the programs in its folders. c/generate.c generates with a compiled model, without Go and without a library:
//
//	ssmc compile ./mamba-130m -o out
//	cc -O2 -Iout examples/c/generate.c out/model.o -o generate
//	./generate out/weights.safetensors 20 510 3158
//
// It is greedy, or samples as the environment says: TEMPERATURE=0.8 TOP_K=40 TOP_P=0.95 SEED=1 ./generate ...
//
// Or with the shared library: cc -O2 -Iout examples/c/generate.c out/model.so -Wl,-rpath,$PWD/out -o generate. The test does both and compares with the Go runtime.
package examples
