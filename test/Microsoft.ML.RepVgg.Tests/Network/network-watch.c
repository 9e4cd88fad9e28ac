// Preloaded into a process (LD_PRELOAD): refuses every look-up of a host and every connection to the internet, as a machine
// without a network does, and writes each to the file that the environment variable NETWORK_WATCH_LOG names.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void report(const char *call, const char *host) {
    char line[512];
    const char *path = getenv("NETWORK_WATCH_LOG");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (file < 0)
        return;
    int length = snprintf(line, sizeof line, "%s %s\n", call, host ? host : "");
    if (write(file, line, (size_t)length) < 0)
        abort();
    close(file);
}

static int refuses(const char *call, const struct sockaddr *address) {
    if (!address || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
        return 0;
    report(call, "");
    errno = ENETUNREACH;
    return 1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    (void)service, (void)hints, (void)result;
    report("getaddrinfo", node);
    return EAI_AGAIN;
}

struct hostent *gethostbyname(const char *name) {
    report("gethostbyname", name);
    h_errno = TRY_AGAIN;
    return NULL;
}

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    static int (*next)(int, const struct sockaddr *, socklen_t);
    if (refuses("connect", address))
        return -1;
    if (!next)
        next = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    return next(socket, address, length);
}

ssize_t sendto(int socket, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    static ssize_t (*next)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    if (refuses("sendto", address))
        return -1;
    if (!next)
        next = (ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "sendto");
    return next(socket, data, size, flags, address, length);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    static ssize_t (*next)(int, const struct msghdr *, int);
    if (refuses("sendmsg", message->msg_name))
        return -1;
    if (!next)
        next = (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    return next(socket, message, flags);
}
