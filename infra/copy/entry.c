#include "entry.h"

#include <string.h>

bool is_temporary(const char *name)
{
    size_t prefix = strlen(TEMPORARY_PREFIX);
    return strncmp(name, TEMPORARY_PREFIX, prefix) == 0 && strlen(name + prefix) == TEMPORARY_RANDOM &&
           strspn(name + prefix, HEX) == TEMPORARY_RANDOM;
}

static bool is_safe(const char *path)
{
    for (;;) {
        size_t size = strcspn(path, "/");
        if (size <= 2 && strspn(path, ".") >= size) /* nothing, one dot, two dots */
            return false;
        if (path[size] == '\0')
            return !is_temporary(path);
        path += size + 1;
    }
}

/* Undoes sha256sum's escaping in place; false where it is none. */
static bool unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        from++;
        if (*from != '\\' && *from != 'n' && *from != 'r')
            return false;
        *to++ = *from == 'n' ? '\n' : *from == 'r' ? '\r' : '\\';
    }
    *to = '\0';
    return true;
}

enum parsed entry_parse(char *line, struct entry *entry)
{
    char *newline = strchr(line, '\n');
    if (!newline) /* cut off, longer than any path, or with a NUL inside */
        return ENTRY_MALFORMED;
    *newline = '\0';
    bool is_escaped = line[0] == '\\';
    entry->sha256 = line + is_escaped;
    if (strspn(entry->sha256, HEX) != SHA256_HEX || strncmp(entry->sha256 + SHA256_HEX, " *", 2) != 0)
        return ENTRY_MALFORMED;
    entry->name = line + is_escaped + SHA256_HEX + 2;
    if (is_escaped && !unescape(entry->name))
        return ENTRY_MALFORMED;
    return is_safe(entry->name) ? ENTRY_SOUND : ENTRY_UNSAFE;
}
