/*
 * A libcuda.so.1 for tests: it notes what it was called with, answers an error when asked to, and keeps "device" memory with malloc. A launch calls no kernel: it
 * adds to each of n numbers what the arguments say.
 *
 * The prototypes are those of the driver API's manual, with the _v2 functions where cuda.h means those.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct any *CUcontext, *CUmodule, *CUfunction, *CUstream, *CUevent;

/* Handles fill all 64 bits, and so do device pointers: they are the address with this on top. */
#define HANDLE(n) ((void *)(uintptr_t)(0xfedcba9876543200u + (n)))
#define DEVICE 0xabcd000000000000u
#define HOST(p) ((void *)(uintptr_t)((p) ^ DEVICE))

const char *stub_name = "";      /* the last function */
uint64_t stub_args[16];          /* what it got */
static char failing[64];         /* the function that fails */
static CUresult failure;
static int pending;              /* how often an event is not there yet */

void stub_fail(const char *name, int code) {
	strncpy(failing, name, sizeof failing - 1);
	failure = code;
}
void stub_pending(int n) { pending = n; }
const char *stub_last(void) { return stub_name; }
uint64_t *stub_arguments(void) { return stub_args; }

static CUresult called(const char *name, int n, const uint64_t *args) {
	stub_name = name;
	memset(stub_args, 0, sizeof stub_args);
	memcpy(stub_args, args, n * sizeof *args);
	return strcmp(name, failing) == 0 ? failure : 0;
}

/* Integers are noted as they are, signed ones with their sign. */
#define U(x) ((uint64_t)(x))
#define S(x) ((uint64_t)(int64_t)(x))
#define P(x) ((uint64_t)(uintptr_t)(x))
#define CALL(...)                                                                   \
	do {                                                                            \
		const uint64_t list[] = {__VA_ARGS__};                                      \
		CUresult r = called(__func__, (int)(sizeof list / sizeof *list), list);     \
		if (r != 0) return r;                                                       \
	} while (0)

CUresult cuGetErrorName(CUresult e, const char **s) { *s = e == 719 ? "CUDA_ERROR_LAUNCH_FAILED" : "CUDA_ERROR_STUB"; return e == 4242 ? 1 : 0; }
CUresult cuGetErrorString(CUresult e, const char **s) { *s = e == 719 ? "unspecified launch failure" : "as asked for"; return e == 4242 ? 1 : 0; }

CUresult cuInit(unsigned int flags) { CALL(U(flags)); return 0; }
CUresult cuDriverGetVersion(int *v) { CALL(P(v)); *v = 12020; return 0; }
CUresult cuDeviceGetCount(int *n) { CALL(P(n)); *n = 2; return 0; }
CUresult cuDeviceGet(CUdevice *d, int ordinal) { CALL(P(d), S(ordinal)); *d = ordinal + 7; return 0; }
CUresult cuDeviceGetName(char *name, int len, CUdevice d) {
	CALL(P(name), S(len), S(d));
	strncpy(name, d == 7 ? "Stub A" : "Stub B", len);
	return 0;
}
CUresult cuDeviceGetAttribute(int *v, int a, CUdevice d) {
	CALL(P(v), S(a), S(d));
	*v = a == 75 ? 9 : a == 76 ? 0 : a == 16 ? 3 : a == 95 ? 1 : a == 97 ? 232448 : a * 1000 + d;
	return 0;
}
CUresult cuDeviceTotalMem_v2(size_t *n, CUdevice d) { CALL(P(n), S(d)); *n = (size_t)80 << 30; return 0; }
CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d) { CALL(P(c), S(d)); *c = HANDLE(1); return 0; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) { CALL(S(d)); return 0; }
CUresult cuCtxSetCurrent(CUcontext c) { CALL(P(c)); return 0; }

CUresult cuModuleLoadDataEx(CUmodule *m, const void *image, unsigned int n, int *options, void **values) {
	for (unsigned int i = 0; i < n; i++) { /* a log's buffer stands before its size */
		if (options[i] == 3 && (uintptr_t)values[i + 1] > 100) strcpy(values[i], "compiled\nin no time");
		if (options[i] == 5 && (uintptr_t)values[i + 1] > 100 && strstr(image, "wrong")) strcpy(values[i], "ptxas application ptx input, line 5; error");
	}
	CALL(P(m), P(image), U(n), P(options), P(values));
	if (strstr(image, "wrong")) return 218;
	*m = HANDLE(2);
	return 0;
}
CUresult cuModuleUnload(CUmodule m) { CALL(P(m)); return 0; }
CUresult cuModuleGetFunction(CUfunction *f, CUmodule m, const char *name) { CALL(P(f), P(m), P(name)); *f = HANDLE(3); return strcmp(name, "none") == 0 ? 500 : 0; }
static uint64_t variable[2] = {11, 22};
CUresult cuModuleGetGlobal_v2(CUdeviceptr *p, size_t *n, CUmodule m, const char *name) {
	CALL(P(p), P(n), P(m), P(name));
	*p = P(variable) ^ DEVICE;
	*n = sizeof variable;
	return 0;
}
CUresult cuFuncSetAttribute(CUfunction f, int a, int v) { CALL(P(f), S(a), S(v)); return 0; }
CUresult cuFuncGetAttribute(int *v, int a, CUfunction f) { CALL(P(v), S(a), P(f)); *v = -a; return 0; }

CUresult cuMemGetInfo_v2(size_t *free, size_t *total) { CALL(P(free), P(total)); *free = (size_t)5 << 32; *total = (size_t)6 << 32; return 0; }
CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t n) { CALL(P(p), U(n)); *p = n >> 40 ? DEVICE : P(malloc(n)) ^ DEVICE; return 0; }
CUresult cuMemFree_v2(CUdeviceptr p) { CALL(U(p)); free(p == DEVICE ? NULL : HOST(p)); return 0; }
CUresult cuMemHostAlloc(void **p, size_t n, unsigned int flags) { CALL(P(p), U(n), U(flags)); *p = malloc(n); return 0; }
CUresult cuMemFreeHost(void *p) { CALL(P(p)); free(p); return 0; }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t n, CUstream s) { CALL(U(to), P(from), U(n), P(s)); memcpy(HOST(to), from, n); return 0; }
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t n, CUstream s) { CALL(P(to), U(from), U(n), P(s)); memcpy(to, HOST(from), n); return 0; }
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) { CALL(U(to), U(from), U(n), P(s)); memmove(HOST(to), HOST(from), n); return 0; }
CUresult cuMemsetD8Async(CUdeviceptr p, unsigned char v, size_t n, CUstream s) { CALL(U(p), U(v), U(n), P(s)); memset(HOST(p), v, n); return 0; }

CUresult cuStreamCreate(CUstream *s, unsigned int flags) { CALL(P(s), U(flags)); *s = HANDLE(4); return 0; }
CUresult cuStreamDestroy_v2(CUstream s) { CALL(P(s)); return 0; }
CUresult cuEventCreate(CUevent *e, unsigned int flags) { CALL(P(e), U(flags)); *e = HANDLE(5); return 0; }
CUresult cuEventDestroy_v2(CUevent e) { CALL(P(e)); return 0; }
CUresult cuEventRecord(CUevent e, CUstream s) { CALL(P(e), P(s)); return 0; }
CUresult cuEventQuery(CUevent e) { CALL(P(e)); return pending-- > 0 ? 600 : 0; }
CUresult cuEventElapsedTime(float *ms, CUevent a, CUevent b) { CALL(P(ms), P(a), P(b)); *ms = 1.5f; return 0; }

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, CUfunction f, int threads, size_t shared) { CALL(P(n), P(f), S(threads), U(shared)); *n = 2; return 0; }
CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx, unsigned int by, unsigned int bz,
	unsigned int shared, CUstream s, void **params) {
	CALL(P(f), U(gx), U(gy), U(gz), U(bx), U(by), U(bz), U(shared), P(s), P(params));
	uint64_t at = *(uint64_t *)params[0], n = *(uint64_t *)params[1], add = *(uint64_t *)params[2];
	for (uint64_t i = 0; i < n; i++) ((uint64_t *)HOST(at))[i] += add;
	return 0;
}
