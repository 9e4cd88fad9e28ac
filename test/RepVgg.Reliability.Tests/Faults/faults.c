// Preloaded into a child process: lets the n-th system call of a kind fail that changes a file in one folder.
// cc -shared -fPIC -o faults.so faults.c
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE, WRITE, SYNC, RENAME, KINDS };

static char folder[4096];
static long left[KINDS], calls[KINDS];
static int error[KINDS];

// Lets call number `number` of a kind, from 1, fail with an error; 0 for none. Counts from now on the calls for files below a folder.
void faults_set(const char *path, int kind, long number, int code)
{
    snprintf(folder, sizeof folder, "%s/", path);
    memset(left, 0, sizeof left);
    memset(calls, 0, sizeof calls);
    left[kind] = number;
    error[kind] = code;
}

// The number of calls of a kind since then.
long faults_count(int kind)
{
    return calls[kind];
}

static int is_below(const char *path)
{
    return folder[0] && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_open_below(int file)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

static int fails(int kind)
{
    calls[kind]++;
    if (left[kind] == 0 || --left[kind] > 0)
        return 0;
    errno = error[kind];
    return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *data, size_t size)
{
    return is_open_below(file) && fails(WRITE) ? -1 : NEXT(write)(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    return is_open_below(file) && fails(WRITE) ? -1 : NEXT(pwrite)(file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    return is_open_below(file) && fails(WRITE) ? -1 : NEXT(pwrite64)(file, data, size, at);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at)
{
    return is_open_below(file) && fails(WRITE) ? -1 : NEXT(pwritev)(file, parts, count, at);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at)
{
    return is_open_below(file) && fails(WRITE) ? -1 : NEXT(pwritev64)(file, parts, count, at);
}

int fsync(int file)
{
    return is_open_below(file) && fails(SYNC) ? -1 : NEXT(fsync)(file);
}

int rename(const char *from, const char *to)
{
    return is_below(to) && fails(RENAME) ? -1 : NEXT(rename)(from, to);
}

int open(const char *path, int flags, ...)
{
    __builtin_va_list arguments;
    __builtin_va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? __builtin_va_arg(arguments, mode_t) : 0;
    __builtin_va_end(arguments);
    return flags & O_CREAT && is_below(path) && fails(CREATE) ? -1 : NEXT(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    __builtin_va_list arguments;
    __builtin_va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? __builtin_va_arg(arguments, mode_t) : 0;
    __builtin_va_end(arguments);
    return flags & O_CREAT && is_below(path) && fails(CREATE) ? -1 : NEXT(open64)(path, flags, mode);
}
