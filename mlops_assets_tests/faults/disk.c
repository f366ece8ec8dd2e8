/* Counts what changes the disk below one folder; at the n-th such call it kills the process or lets
   the call fail. Loaded with LD_PRELOAD, so that it sees every library: Python's, polars', Delta's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static atomic_int calls;
static int wanted, failure;

/* failure: an errno, 0 to count only, -1 to kill. From the n-th call on a full disk stays full. */
void disk_arm(const char *below, int n, int how) {
    strncpy(folder, below, sizeof folder - 1);
    calls = 0; wanted = n; failure = how;
}
int disk_calls(void) { return calls; }

static int hit(void) {
    int n = atomic_fetch_add(&calls, 1) + 1;
    if (failure == -1 && n == wanted) kill(getpid(), SIGKILL);
    if (failure > 0 && n >= wanted) { errno = failure; return 1; }
    return 0;
}
static int below(const char *path) { return folder[0] && path && !strncmp(path, folder, strlen(folder)); }
static int mine(int fd) {
    char link[64], path[PATH_MAX]; ssize_t n;
    if (!folder[0] || fd < 3) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if ((n = readlink(link, path, sizeof path - 1)) < 0) return 0;
    path[n] = 0;
    return below(path);
}
#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define BY_PATH(type, name, declared, path, given) \
    type name declared { REAL(name); return below(path) && hit() ? -1 : real given; }
#define BY_FD(type, name, declared, given) \
    type name declared { REAL(name); return mine(fd) && hit() ? -1 : real given; }
#define OPEN(name, first, named, given) \
    int name(first const char *path, int flags, ...) { REAL(name); mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
        return (flags & (O_CREAT | O_TRUNC)) && below(path) && hit() ? -1 : real given; }
#define NOTHING
#define DIRECTORY int at,

OPEN(open, NOTHING, , (path, flags, mode))
OPEN(open64, NOTHING, , (path, flags, mode))
OPEN(openat, DIRECTORY, at, (at, path, flags, mode))
OPEN(openat64, DIRECTORY, at, (at, path, flags, mode))
BY_FD(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
BY_FD(ssize_t, writev, (int fd, const struct iovec *data, int count), (fd, data, count))
BY_FD(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
BY_FD(int, fsync, (int fd), (fd))
BY_FD(int, fdatasync, (int fd), (fd))
BY_FD(int, ftruncate64, (int fd, off64_t size), (fd, size))
BY_PATH(int, rename, (const char *from, const char *to), to, (from, to))
BY_PATH(int, renameat, (int a, const char *from, int b, const char *to), to, (a, from, b, to))
BY_PATH(int, link, (const char *from, const char *to), to, (from, to))
BY_PATH(int, linkat, (int a, const char *from, int b, const char *to, int flags), to, (a, from, b, to, flags))
BY_PATH(int, unlink, (const char *path), path, (path))
BY_PATH(int, mkdir, (const char *path, mode_t mode), path, (path, mode))
