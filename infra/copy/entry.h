/* One line of the list: the SHA-256 and the name of a file, as `sha256sum --binary` writes them. */

#ifndef ENTRY_H
#define ENTRY_H

#include <limits.h>
#include <stdbool.h>

#include "sha256.h"

#define HEX "0123456789abcdef"
#define TEMPORARY_PREFIX ".modelflight-copy."

enum {
    TEMPORARY_RANDOM = 16,                               /* hexadecimal digits after the prefix */
    ENTRY_LINE = 1 + SHA256_HEX + 2 + 2 * PATH_MAX + 2, /* bytes, with newline and final NUL */
};

struct entry {
    const char *sha256; /* SHA256_HEX digits, not ended by a NUL */
    char *name;
};

enum parsed { ENTRY_SOUND, ENTRY_MALFORMED, ENTRY_UNSAFE };

/* Reads a line in place; the entry points into it. An unsafe name leads out of its folder or is temporary. */
enum parsed entry_parse(char *line, struct entry *entry);

/* Whether a name, without folders, is one that a copy gives to its temporary files. */
bool is_temporary(const char *name);

#endif
