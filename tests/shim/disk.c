/* Stands between a program and its disk: counts the calls that touch anything below one folder, and
 * lets one of them go wrong, or stops or kills the process there. For LD_PRELOAD on Linux.
 *
 * Counted over all threads, and only below the folder: neither the loader's files nor sockets nor
 * the logs take part, which strace's injection cannot tell apart.
 *
 *   SHIM_ROOT    the folder, without links in it
 *   SHIM_CALLS   which calls count, such as "open,rename"; unset: all but "read"
 *   SHIM_AT      the position that is met, from 1; "3+" is the third and every later one
 *   SHIM_DO      fail N   the call does nothing and fails with error number N
 *                late N   the call does what it should, and says that it failed with N
 *                stop     SIGSTOP, before the call is made
 *                kill     SIGKILL, before the call is made
 *                hang     the call never returns
 *   SHIM_THEN    kill K   the K-th call after the one that was met is killed
 *   SHIM_LACKS   what the disk does not know at all, such as "link,foldersync": "link" and "renameat2"
 *                (a rename that replaces nothing), "foldersync" and "claim" (the creation of a file
 *                that ends in .json) are refused
 *   SHIM_LOG     every call that counts is appended to this file before it is made: its number, the
 *                call, the path, and where it has one the second path, with tabs between them
 *   SHIM_KEEP    a folder for what a power cut could not take: after every fsync of a file its bytes
 *                are copied to one named like the call's number; and the log gets a second line for
 *                every call that did what it should: its number and "done"
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum fate { PASS, FAIL, LATE };

static const char *root, *calls, *action;
static size_t root_length;
static long at, then_after;
static int onwards, number, log_file = -1;
static const char *keep, *lacking;
static atomic_long count;
/* The number of the call that this thread is in; 0 where it does not count. */
static _Thread_local long current;

__attribute__((constructor)) static void begin(void) {
    char *end;
    const char *log = getenv("SHIM_LOG"), *position = getenv("SHIM_AT"), *then = getenv("SHIM_THEN");
    root = getenv("SHIM_ROOT");
    root_length = root ? strlen(root) : 0;
    calls = getenv("SHIM_CALLS");
    keep = getenv("SHIM_KEEP");
    lacking = getenv("SHIM_LACKS");
    action = getenv("SHIM_DO");
    at = position ? strtol(position, &end, 10) : 0;
    onwards = position && *end == '+';
    number = action && strchr(action, ' ') ? atoi(strchr(action, ' ')) : 0;
    then_after = then ? atol(then + strlen("kill ")) : 0;
    if (log)
        log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

static int counts(const char *call) {
    size_t length = strlen(call);
    const char *rest = calls;
    if (!rest)
        return strcmp(call, "read") != 0;
    while (*rest) {
        if (!strncmp(rest, call, length) && (rest[length] == ',' || !rest[length]))
            return 1;
        rest = strchr(rest, ',');
        if (!rest)
            return 0;
        rest++;
    }
    return 0;
}

/* The full path of what a call names, as far as the system tells. */
static void resolve(int folder, const char *path, char *out, size_t room) {
    char link[64];
    ssize_t length = 0;
    if (path && path[0] == '/') {
        snprintf(out, room, "%s", path);
        return;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = readlink(link, out, room - 1);
    if (length < 0)
        length = 0;
    if (path)
        snprintf(out + length, room - (size_t)length, "/%s", path);
    else
        out[length] = 0;
}

static void say(const char *line, int length) {
    if (log_file >= 0 && length > 0)
        syscall(SYS_write, log_file, line, (size_t)length);
}

/* Copies the bytes of a file that is durable now. */
static void keep_bytes(const char *path) {
    char name[PATH_MAX], bytes[65536];
    long from = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), to, got;
    struct stat about;
    if (from < 0)
        return;
    if (!fstat((int)from, &about) && S_ISREG(about.st_mode)) {
        snprintf(name, sizeof name, "%s/%ld", keep, current);
        to = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        while ((got = syscall(SYS_read, from, bytes, sizeof bytes)) > 0)
            syscall(SYS_write, to, bytes, (size_t)got);
        syscall(SYS_close, to);
    }
    syscall(SYS_close, from);
}

/* A call did what it should. */
static void done(const char *call, int folder) {
    char line[64], path[PATH_MAX];
    int before = errno;
    if (!keep || !current)
        return;
    if (!strcmp(call, "fsync")) {
        resolve(folder, 0, path, sizeof path);
        keep_bytes(path);
    }
    say(line, snprintf(line, sizeof line, "%ld\tdone\n", current));
    errno = before;
}

static enum fate meet(const char *call, int folder, const char *path, const char *second) {
    char full[PATH_MAX];
    int before = errno;
    long position;
    current = 0;
    if (!root_length || !counts(call))
        return PASS;
    resolve(folder, path, full, sizeof full);
    errno = before;
    if (strncmp(full, root, root_length) || (full[root_length] && full[root_length] != '/'))
        return PASS;
    position = atomic_fetch_add(&count, 1) + 1;
    current = position;
    if (log_file >= 0) {
        char line[2 * PATH_MAX + 64];
        say(line, snprintf(line, sizeof line, "%ld\t%s\t%s\t%s\n", position, call, full, second));
        errno = before;
    }
    if (!at || !action || position < at)
        return PASS;
    if (then_after && position >= at + then_after)
        kill(getpid(), SIGKILL);
    if (position > at && !onwards)
        return PASS;
    if (!strcmp(action, "stop"))
        raise(SIGSTOP); /* to this thread, which must not get any further meanwhile */
    else if (!strcmp(action, "kill"))
        kill(getpid(), SIGKILL);
    else if (!strcmp(action, "hang"))
        for (;;)
            pause();
    else if (!strncmp(action, "fail", 4))
        return FAIL;
    else if (!strncmp(action, "late", 4))
        return LATE;
    return PASS;
}

/* What this disk does not know at all it refuses wherever it is asked. */
static int lacks(const char *what) {
    const char *found = *what && lacking ? strstr(lacking, what) : 0;
    return found && (found == lacking || found[-1] == ',') && (!found[strlen(what)] || found[strlen(what)] == ',');
}

#define REFUSE(what, error)                                                                               \
    do {                                                                                                  \
        if (lacks(what)) {                                                                                \
            errno = error;                                                                                \
            return -1;                                                                                    \
        }                                                                                                 \
    } while (0)

/* Files on their way have other names. */
static int is_object(const char *path) {
    size_t length = strlen(path);
    return length > 5 && !strcmp(path + length - 5, ".json");
}

static int is_folder(int file) {
    struct stat about;
    return !fstat(file, &about) && S_ISDIR(about.st_mode);
}

/* Calls the real function `name`, unless the fate is another. */
#define PASS_ON(type, bad, call, folder, path, name, signature, ...) PASS_ON_TO(type, bad, call, folder, path, "", name, signature, __VA_ARGS__)
#define PASS_ON_TO(type, bad, call, folder, path, second, name, signature, ...)                                      \
    do {                                                                                                  \
        static type(*real) signature;                                                                     \
        enum fate fate = meet(call, folder, path, second);                                                        \
        type result;                                                                                      \
        if (!real)                                                                                        \
            real = (type(*) signature)dlsym(RTLD_NEXT, name);                                             \
        if (fate != FAIL) {                                                                               \
            result = real(__VA_ARGS__);                                                                   \
            if (result != (type)(bad))                                                                    \
                done(call, folder);                                                                       \
            if (fate == PASS || result == (type)(bad))                                                    \
                return result;                                                                            \
        }                                                                                                 \
        errno = number;                                                                                   \
        return (type)(bad);                                                                               \
    } while (0)

static mode_t mode_of(int flags, va_list more) {
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(more, int) : 0;
}

/* What is opened to be written makes a call of its own kind: a full disk refuses it alone. */
static const char *opening(int flags) { return flags & O_CREAT ? "create" : "open"; }

#define OPEN(name)                                                                                        \
    int name(const char *path, int flags, ...) {                                                          \
        va_list more;                                                                                     \
        mode_t mode;                                                                                      \
        va_start(more, flags);                                                                            \
        mode = mode_of(flags, more);                                                                      \
        va_end(more);                                                                                     \
        PASS_ON(int, -1, opening(flags), AT_FDCWD, path, #name, (const char *, int, ...), path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPEN_AT(name)                                                                                     \
    int name(int folder, const char *path, int flags, ...) {                                              \
        va_list more;                                                                                     \
        mode_t mode;                                                                                      \
        va_start(more, flags);                                                                            \
        mode = mode_of(flags, more);                                                                      \
        va_end(more);                                                                                     \
        REFUSE(flags & O_EXCL && is_object(path) ? "claim" : "", EPERM);                                  \
        PASS_ON(int, -1, opening(flags), folder, path, #name, (int, const char *, int, ...), folder, path, flags, mode); \
    }
OPEN_AT(openat)
OPEN_AT(openat64)

DIR *opendir(const char *path) { PASS_ON(DIR *, 0, "open", AT_FDCWD, path, "opendir", (const char *), path); }

ssize_t read(int file, void *to, size_t size) {
    PASS_ON(ssize_t, -1, "read", file, 0, "read", (int, void *, size_t), file, to, size);
}
ssize_t write(int file, const void *from, size_t size) {
    PASS_ON(ssize_t, -1, "write", file, 0, "write", (int, const void *, size_t), file, from, size);
}
int fsync(int file) {
    REFUSE(is_folder(file) ? "foldersync" : "", EINVAL);
    PASS_ON(int, -1, "fsync", file, 0, "fsync", (int), file);
}
int fdatasync(int file) { PASS_ON(int, -1, "fsync", file, 0, "fdatasync", (int), file); }
int mkdirat(int folder, const char *path, mode_t mode) {
    PASS_ON(int, -1, "mkdir", folder, path, "mkdirat", (int, const char *, mode_t), folder, path, mode);
}
int mkdir(const char *path, mode_t mode) {
    PASS_ON(int, -1, "mkdir", AT_FDCWD, path, "mkdir", (const char *, mode_t), path, mode);
}
int rmdir(const char *path) { PASS_ON(int, -1, "unlink", AT_FDCWD, path, "rmdir", (const char *), path); }
int unlink(const char *path) { PASS_ON(int, -1, "unlink", AT_FDCWD, path, "unlink", (const char *), path); }
int unlinkat(int folder, const char *path, int flags) {
    PASS_ON(int, -1, "unlink", folder, path, "unlinkat", (int, const char *, int), folder, path, flags);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    char full[PATH_MAX];
    resolve(to_folder, to, full, sizeof full);
    PASS_ON_TO(int, -1, "rename", from_folder, from, full, "renameat", (int, const char *, int, const char *),
            from_folder, from, to_folder, to);
}
/* Only ever asked to replace nothing: it makes a name as a link does. */
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char full[PATH_MAX];
    REFUSE("renameat2", EINVAL);
    resolve(to_folder, to, full, sizeof full);
    PASS_ON_TO(int, -1, "rename", from_folder, from, full, "renameat2", (int, const char *, int, const char *, unsigned),
            from_folder, from, to_folder, to, flags);
}
int rename(const char *from, const char *to) {
    PASS_ON_TO(int, -1, "rename", AT_FDCWD, from, to, "rename", (const char *, const char *), from, to);
}
int link(const char *from, const char *to) {
    REFUSE("link", EPERM);
    PASS_ON_TO(int, -1, "link", AT_FDCWD, from, to, "link", (const char *, const char *), from, to);
}
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char full[PATH_MAX];
    REFUSE("link", EPERM);
    resolve(to_folder, to, full, sizeof full);
    PASS_ON_TO(int, -1, "link", from_folder, from, full, "linkat", (int, const char *, int, const char *, int),
            from_folder, from, to_folder, to, flags);
}
