/* User-Mode Linux keeps a processor state of a fixed size; this kernel takes it whole or not at all, and newer processors
 * have more of it. The part User-Mode Linux does not know stays as it is at a program's start: nothing here uses it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NT_X86_XSTATE 0x202
#define STATE_BYTES_MAX 65536
/* Intel's manual, volume 1, 13.4: the header after the legacy area says which parts are in use. */
#define HEADER_OFFSET 512
/* x87, SSE, AVX, MPX, AVX-512 and PKRU: what fits the fixed size. */
#define KNOWN_PARTS 0x2ffUL

static long (*next)(int, pid_t, void *, void *);

static long whole_state(int kind, pid_t pid, void *which, struct iovec *asked) {
  static unsigned char state[STATE_BYTES_MAX];
  struct iovec all = {state, sizeof state};
  long result = next(PTRACE_GETREGSET, pid, which, &all);
  if (result < 0) return result;
  size_t bytes = asked->iov_len < all.iov_len ? asked->iov_len : all.iov_len;
  if (kind == PTRACE_GETREGSET) {
    memcpy(asked->iov_base, state, bytes);
    asked->iov_len = bytes;
    return 0;
  }
  memcpy(state, asked->iov_base, bytes);
  if (bytes < all.iov_len) *(unsigned long *)(state + HEADER_OFFSET) &= KNOWN_PARTS;
  return next(PTRACE_SETREGSET, pid, which, &all);
}

long ptrace(enum __ptrace_request request, ...) {
  va_list rest;
  va_start(rest, request);
  pid_t pid = va_arg(rest, pid_t);
  void *address = va_arg(rest, void *);
  void *data = va_arg(rest, void *);
  va_end(rest);
  if (next == 0) next = (long (*)(int, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
  int kind = (int)request;
  if ((kind == PTRACE_GETREGSET || kind == PTRACE_SETREGSET) && (long)address == NT_X86_XSTATE)
    return whole_state(kind, pid, address, data);
  return next(kind, pid, address, data);
}
