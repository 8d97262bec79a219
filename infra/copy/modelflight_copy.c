/* Copies a model out of its image: modelflight-copy [DESTINATION [SOURCE [LIST]]].
 *
 * README.md says what it promises. Whatever goes wrong ends the process at once, through stop(). */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "entry.h"
#include "sha256.h"

enum ending { FAILED = 1, WRONG_USE = 2, NOT_AS_LISTED = 3, UNSAFE = 4, SIGNALLED = 128 };

struct folder {
    const char *path;
    int handle;
};

static struct folder destination = {"/mnt/models", -1}, source = {"/models", -1};
static const char *list_path = "/modelflight-copy.sha256";

/* What has to go when the copy is ended: always the same name; no such file while the folder is -1. */
static char temporary[sizeof TEMPORARY_PREFIX + TEMPORARY_RANDOM];
static volatile sig_atomic_t temporary_folder = -1;

static void remove_temporary(void)
{
    if (temporary_folder != -1)
        unlinkat(temporary_folder, temporary, 0);
}

static void end_by_signal(int number)
{
    remove_temporary();
    _exit(SIGNALLED + number);
}

/* Says on one line why the copy ends, `%m` being the text of errno, and ends it. */
__attribute__((format(printf, 2, 3))) static _Noreturn void stop(enum ending ending, const char *format, ...)
{
    char message[2 * PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    for (char *byte = message; *byte; byte++)
        if ((unsigned char)*byte < ' ' || *byte == 0x7f)
            *byte = '?'; /* names may hold newlines, and what terminals obey */
    fprintf(stderr, "modelflight-copy: %s\n", message);
    remove_temporary();
    _exit(ending);
}

static _Noreturn void stop_reading(const char *name)
{
    bool absent = errno == ENOENT || errno == ENOTDIR || errno == EISDIR;
    stop(absent ? NOT_AS_LISTED : FAILED, "cannot read %s/%s: %m", source.path, name);
}

static _Noreturn void stop_writing(const char *name)
{
    stop(FAILED, "cannot write %s/%s: %m", destination.path, name);
}

/* The list's next entry, which lasts until the one after it; false at its end. */
static bool next_entry(FILE *list, struct entry *entry)
{
    static char line[ENTRY_LINE];
    if (!fgets(line, sizeof line, list)) {
        if (ferror(list))
            stop(FAILED, "cannot read %s: %m", list_path);
        return false;
    }
    enum parsed parsed = entry_parse(line, entry);
    if (parsed == ENTRY_MALFORMED)
        stop(NOT_AS_LISTED, "%s is damaged: no whole line of sha256sum --binary: %s", list_path, line);
    if (parsed == ENTRY_UNSAFE)
        stop(UNSAFE, "%s names '%s', which a copy must not write", list_path, entry->name);
    return true;
}

static void synchronize(int folder, const char *name)
{
    if (fsync(folder) == -1 && errno != EINVAL) /* some file systems have it for files only */
        stop_writing(name);
}

/* Opens the folder that a listed path leads to, one part after the other and through no symbolic link.
 * Makes what is missing, and sets `last` to the path's last part. */
static int open_folder(char *path, const char **last)
{
    int folder = dup(destination.handle);
    *last = path;
    for (char *slash; (slash = strchr(*last, '/')); *slash = '/', *last = slash + 1) {
        *slash = '\0';
        if (mkdirat(folder, *last, 0755) == 0)
            synchronize(folder, path);
        else if (errno != EEXIST)
            stop_writing(path);
        int inner = openat(folder, *last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (inner == -1 && (errno == ENOTDIR || errno == ELOOP))
            stop(UNSAFE, "%s/%s is no folder; links are not followed", destination.path, path);
        if (inner == -1)
            stop_writing(path);
        close(folder);
        folder = inner;
    }
    return folder;
}

/* Removes the temporary files of copies that were killed. */
static void remove_abandoned(int folder)
{
    static struct stat cleaned; /* most files lie in the folder of the file before */
    struct stat status = {0};
    if (fstat(folder, &status) == 0 && status.st_dev == cleaned.st_dev && status.st_ino == cleaned.st_ino)
        return;
    cleaned = status;
    DIR *entries = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY));
    if (!entries)
        return; /* they only take up space, and what matters will fail by itself */
    for (struct dirent *found; (found = readdir(entries));)
        if (is_temporary(found->d_name))
            unlinkat(folder, found->d_name, 0);
    closedir(entries);
}

/* Reads to the end of `from`, and writes all of it to `to` unless that is -1.
 * Gives the bytes read and their SHA-256, or -1 where reading failed. */
static int64_t transfer(int from, int to, const char *name, char sha256[SHA256_HEX + 1])
{
    static unsigned char buffer[1 << 20];
    struct sha256 hash;
    sha256_begin(&hash);
    int64_t size = 0;
    ssize_t got;
    while ((got = read(from, buffer, sizeof buffer)) > 0) {
        sha256_add(&hash, buffer, (size_t)got);
        size += got;
        for (ssize_t done = 0, part; to != -1 && done < got; done += part)
            if ((part = write(to, buffer + done, (size_t)(got - done))) == -1)
                stop_writing(name);
    }
    sha256_end(&hash, sha256);
    return got == -1 ? -1 : size;
}

/* Whether the folder holds the right file already. One that cannot be read is as good as a wrong one. */
static bool is_there(int folder, const char *last, const struct entry *entry)
{
    int file = openat(folder, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (file == -1)
        return false;
    struct stat status = {0};
    char sha256[SHA256_HEX + 1];
    if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode))
        stop(UNSAFE, "%s/%s is a folder, where a file belongs", destination.path, entry->name);
    bool is_right = S_ISREG(status.st_mode) && transfer(file, -1, entry->name, sha256) >= 0 &&
                    memcmp(sha256, entry->sha256, SHA256_HEX) == 0;
    close(file);
    return is_right;
}

/* Copies one file unless it is there; gives the bytes copied, or -1 where it was there. */
static int64_t copy(const struct entry *entry)
{
    const char *last;
    int folder = open_folder(entry->name, &last);
    remove_abandoned(folder);
    if (is_there(folder, last, entry)) {
        close(folder);
        return -1;
    }
    int from = openat(source.handle, entry->name, O_RDONLY);
    if (from == -1)
        stop_reading(entry->name);
    temporary_folder = folder;
    int to = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (to == -1)
        stop_writing(entry->name);
    char sha256[SHA256_HEX + 1];
    int64_t size = transfer(from, to, entry->name, sha256);
    if (size == -1)
        stop_reading(entry->name);
    if (memcmp(sha256, entry->sha256, SHA256_HEX) != 0)
        stop(NOT_AS_LISTED, "%s/%s has the sha256 %s, and %s lists another: the image is damaged",
             source.path, entry->name, sha256, list_path);
    if (fchmod(to, 0644) == -1 || fsync(to) == -1 || renameat(folder, temporary, folder, last) == -1)
        stop_writing(entry->name);
    temporary_folder = -1;
    synchronize(folder, entry->name);
    close(from);
    close(to);
    close(folder);
    return size;
}

static void prepare(void)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        stop(FAILED, "no random number for the name of temporary files: %m");
    snprintf(temporary, sizeof temporary, TEMPORARY_PREFIX "%016llx", (unsigned long long)random);
    umask(022);
    /* Handlers, because without one the first process of a container is not ended by a signal. */
    signal(SIGTERM, end_by_signal);
    signal(SIGINT, end_by_signal);
    signal(SIGXFSZ, SIG_IGN); /* write() fails instead, and stop() tells */
    signal(SIGPIPE, SIG_IGN);
}

static void open_folder_named(struct folder *folder)
{
    folder->handle = open(folder->path, O_RDONLY | O_DIRECTORY);
    if (folder->handle == -1)
        stop(WRONG_USE, "cannot open the folder %s: %m", folder->path);
}

int main(int count, char **arguments)
{
    bool is_wrong = count > 4;
    for (int i = 1; i < count; i++)
        is_wrong |= arguments[i][0] == '-';
    if (is_wrong)
        stop(WRONG_USE, "usage: modelflight-copy [DESTINATION [SOURCE [LIST]]]");
    destination.path = count > 1 ? arguments[1] : destination.path;
    source.path = count > 2 ? arguments[2] : source.path;
    list_path = count > 3 ? arguments[3] : list_path;
    prepare();
    open_folder_named(&destination);
    open_folder_named(&source);
    FILE *list = fopen(list_path, "r");
    if (!list)
        stop(WRONG_USE, "cannot open the list %s: %m", list_path);

    struct entry entry;
    if (!next_entry(list, &entry))
        stop(NOT_AS_LISTED, "%s is damaged: it names no file", list_path);
    while (next_entry(list, &entry))
        ; /* the whole list is checked before anything is written */
    rewind(list);

    /* Two pods may share a volume. Where the file system knows no such lock, they copy beside each other. */
    if (flock(destination.handle, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK) {
        fprintf(stderr, "modelflight-copy: waiting for another copy into %s\n", destination.path);
        flock(destination.handle, LOCK_EX);
    }
    unsigned long copied = 0, kept = 0;
    unsigned long long bytes = 0;
    while (next_entry(list, &entry)) {
        int64_t size = copy(&entry);
        if (size == -1) {
            kept++;
        } else {
            copied++;
            bytes += (unsigned long long)size;
        }
    }
    printf("copied %lu %s, %llu bytes; %lu %s already there\n", copied, copied == 1 ? "file" : "files", bytes,
           kept, kept == 1 ? "file was" : "files were");
    return 0;
}
