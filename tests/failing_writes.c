/* Makes writes to regular files fail, when asked to: preloaded by tests/faulty.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static long countdown = -1; /* writes until one fails; negative: none will */
static int number, for_good, failed;

/* The `after`-th write from now on fails with `error`, and all that follow if `forever`. */
void fail_writes(long after, int error, int forever) {
    countdown = after;
    number = error;
    for_good = forever;
    failed = 0;
}

int writes_failed(void) { return failed; }

static int fails(int file) {
    struct stat status;
    if (countdown < 0 || fstat(file, &status) || !S_ISREG(status.st_mode)) return 0;
    if (countdown > 1) return countdown--, 0;
    if (!for_good) countdown = -1;
    failed++;
    errno = number;
    return 1;
}

#define FORWARD(name, ...)                                        \
    static __typeof__(name) *next;                                \
    if (!next) next = (__typeof__(next))dlsym(RTLD_NEXT, #name);  \
    return fails(file) ? -1 : next(file, __VA_ARGS__)

ssize_t write(int file, const void *data, size_t size) { FORWARD(write, data, size); }
ssize_t pwrite(int file, const void *data, size_t size, off_t at) { FORWARD(pwrite, data, size, at); }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    FORWARD(pwrite64, data, size, at);
}
ssize_t writev(int file, const struct iovec *parts, int count) { FORWARD(writev, parts, count); }
