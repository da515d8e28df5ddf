/* Counts what a process does to files below FAULT_ROOT and lets one of these calls fail, or ends the process there.

   FAULT_ROOT   the folder that is watched
   FAULT_COUNT  a file, one byte added for every call of any process (its size is the number of the call)
   FAULT_AT     which call fails; absent: none
   FAULT_WITH   an errno (28 is ENOSPC, 5 is EIO), or 0: SIGKILL to the whole process group instead
   FAULT_ONCE   "1": that call alone fails; else all that follow, like a disk that stays full
   FAULT_SHADOW a folder on the same disk that holds what the syncs so far have made sure of, for disk.py: files/INODE
                is the content of a file, folders/INODE the names in a folder; removed/ keeps removed files, so that no
                number of an inode is given twice                                                                    */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_below(const char *path) {
    const char *root = getenv("FAULT_ROOT");
    if (!root || !path) return 0;
    char full[PATH_MAX];
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        if (snprintf(full, sizeof full, "%s/%s", here, path) >= (int)sizeof full) return 0;
        path = full;
    }
    size_t n = strlen(root);
    return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int is_open_below(int fd) {
    char link[64], path[PATH_MAX];
    if (!getenv("FAULT_ROOT")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return is_below(path);
}

/* Whether this call fails; errno is set then. */
static int fails(void) {
    static ssize_t (*real_write)(int, const void *, size_t);
    static int (*real_open)(const char *, int, ...);
    if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
    if (!real_open) real_open = dlsym(RTLD_NEXT, "open");
    const char *file = getenv("FAULT_COUNT"), *at = getenv("FAULT_AT"), *with = getenv("FAULT_WITH");
    if (!file) return 0;
    int fd = real_open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return 0;
    real_write(fd, "x", 1);
    long number = (long)lseek(fd, 0, SEEK_CUR);
    close(fd);
    if (!at) return 0;
    long wanted = atol(at);
    int once = getenv("FAULT_ONCE") != NULL;
    if (once ? number != wanted : number < wanted) return 0;
    int error = with ? atoi(with) : ENOSPC;
    if (error == 0) {
        kill(0, SIGKILL);
        pause();
    }
    errno = error;
    return 1;
}

static char *shadow_path(char *path, const char *kind, unsigned long number) {
    const char *shadow = getenv("FAULT_SHADOW");
    if (!shadow) return NULL;
    snprintf(path, PATH_MAX, "%s/%s/%lu", shadow, kind, number);
    return path;
}

static void copy_file(const char *from, unsigned long number) {
    char to[PATH_MAX], block[65536];
    FILE *in = shadow_path(to, "files", number) ? fopen(from, "rb") : NULL, *out = in ? fopen(to, "wb") : NULL;
    for (size_t n; out && (n = fread(block, 1, sizeof block, in)) > 0;) fwrite(block, 1, n, out);
    if (out) fclose(out);
    if (in) fclose(in);
}

static void list_folder(const char *path, unsigned long number) {
    char to[PATH_MAX];
    DIR *folder = shadow_path(to, "folders", number) ? opendir(path) : NULL;
    FILE *out = folder ? fopen(to, "wb") : NULL;
    for (struct dirent *entry; out && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            fprintf(out, "%lu %c %s\n", (unsigned long)entry->d_ino, entry->d_type == DT_DIR ? 'd' : 'f', entry->d_name);
    if (out) fclose(out);
    if (folder) closedir(folder);
}

static int keep_synced(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)place;
    if (type == FTW_D) list_folder(path, about->st_ino);
    if (type == FTW_F) copy_file(path, about->st_ino);
    return 0;
}

/* A file or folder whose sync has returned. */
static void synced(int fd) {
    char link[64], path[PATH_MAX];
    struct stat about;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (!getenv("FAULT_SHADOW") || n <= 0 || fstat(fd, &about)) return;
    path[n] = 0;
    keep_synced(path, &about, S_ISDIR(about.st_mode) ? FTW_D : FTW_F, NULL);
}

static void all_synced(void) {
    if (getenv("FAULT_SHADOW") && getenv("FAULT_ROOT")) nftw(getenv("FAULT_ROOT"), keep_synced, 16, FTW_PHYS);
}

/* A second name for a file that is about to lose its last. */
static void keep_removed(const char *path) {
    char to[PATH_MAX];
    struct stat about;
    if (is_below(path) && !lstat(path, &about) && S_ISREG(about.st_mode) && shadow_path(to, "removed", about.st_ino))
        link(path, to);
}

#define REAL(type, name, ...)                                   \
    static type (*real)(__VA_ARGS__);                           \
    if (!real) real = dlsym(RTLD_NEXT, #name);

static int writes(int flags) { return (flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) != 0; }

#define OPEN(name)                                                                          \
    int name(const char *path, int flags, ...) {                                            \
        REAL(int, name, const char *, int, ...)                                             \
        va_list list;                                                                       \
        va_start(list, flags);                                                              \
        mode_t mode = va_arg(list, mode_t);                                                 \
        va_end(list);                                                                       \
        if (writes(flags) && is_below(path) && fails()) return -1;                          \
        return real(path, flags, mode);                                                     \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                        \
    int name(int folder, const char *path, int flags, ...) {                                \
        REAL(int, name, int, const char *, int, ...)                                        \
        va_list list;                                                                       \
        va_start(list, flags);                                                              \
        mode_t mode = va_arg(list, mode_t);                                                 \
        va_end(list);                                                                       \
        if (writes(flags) && is_below(path) && fails()) return -1;                          \
        return real(folder, path, flags, mode);                                             \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t)
    if (fd > 2 && is_open_below(fd) && fails()) return -1;
    return real(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int)
    if (fd > 2 && is_open_below(fd) && fails()) return -1;
    return real(fd, parts, count);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
    if (is_open_below(fd) && fails()) return -1;
    return real(fd, data, size, at);
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *)
    if (is_below(to) && fails()) return -1;
    keep_removed(to);
    return real(from, to);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *)
    keep_removed(path);
    return real(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t)
    if (is_below(path) && fails()) return -1;
    return real(path, mode);
}

int fsync(int fd) {
    REAL(int, fsync, int)
    if (is_open_below(fd) && fails()) return -1;
    int status = real(fd);
    if (!status && is_open_below(fd)) synced(fd);
    return status;
}

int syncfs(int fd) {
    REAL(int, syncfs, int)
    if (is_open_below(fd) && fails()) return -1;
    int status = real(fd);
    if (!status) all_synced();
    return status;
}
