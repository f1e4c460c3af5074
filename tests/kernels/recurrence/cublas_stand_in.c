// A library with the functions of cuBLAS that recurrence/cublas.py calls, and their signatures as in
// cublas_api.h: products by the book, column by column. calls() tells what was asked for.

#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct { int math_mode; void *stream, *workspace; size_t bytes; } Handle;

static Handle the_handle;
static char log_text[4096];

static void note(const char* what)
{
    strncat(log_text, what, sizeof log_text - strlen(log_text) - 1);
}

const char* calls(void) { return log_text; }
void forget_calls(void) { log_text[0] = 0; }

int cublasCreate_v2(Handle** handle)
{
    note("create ");
    *handle = &the_handle;
    return 0;
}

int cublasDestroy_v2(Handle* handle)
{
    note("destroy ");
    return handle != &the_handle;
}

int cublasSetMathMode(Handle* handle, int mode)
{
    note("math ");
    handle->math_mode = mode;
    return 0;
}

int cublasSetStream_v2(Handle* handle, void* stream)
{
    note("stream ");
    handle->stream = stream;
    handle->workspace = NULL;  // setting the stream takes the workspace away
    return 0;
}

int cublasSetWorkspace_v2(Handle* handle, void* workspace, size_t bytes)
{
    note("workspace ");
    handle->workspace = workspace;
    handle->bytes = bytes;
    return 0;
}

#define GEMM(NAME, F)                                                                            \
    int NAME(Handle* handle, int transa, int transb, int m, int n, int k, const F* alpha,        \
             const F* A, int lda, const F* B, int ldb, const F* beta, F* C, int ldc)             \
    {                                                                                            \
        note(#NAME " ");                                                                         \
        if (handle != &the_handle || !handle->workspace || handle->bytes < 1 << 20) return 1;    \
        if (lda < (transa ? k : m) || ldb < (transb ? n : k) || ldc < m) return 7;               \
        for (int i = 0; i < m; ++i)                                                              \
            for (int j = 0; j < n; ++j) {                                                        \
                F sum = 0;                                                                       \
                for (int l = 0; l < k; ++l)                                                      \
                    sum += (transa ? A[l + (size_t)i * lda] : A[i + (size_t)l * lda])            \
                           * (transb ? B[j + (size_t)l * ldb] : B[l + (size_t)j * ldb]);         \
                F* c = C + i + (size_t)j * ldc;                                                  \
                *c = *alpha * sum + (*beta != 0 ? *beta * *c : 0);                               \
            }                                                                                    \
        return 0;                                                                                \
    }

GEMM(cublasSgemm_v2, float)
GEMM(cublasDgemm_v2, double)
