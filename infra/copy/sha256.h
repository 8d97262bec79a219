/* SHA-256 as in FIPS 180-4, over data that comes in pieces. */

#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_BLOCK = 64, SHA256_HEX = 64 }; /* bytes; characters */

struct sha256 {
    uint32_t state[8];
    uint64_t size; /* bytes so far; what does not fill a block yet waits in `block` */
    unsigned char block[SHA256_BLOCK];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const unsigned char *data, size_t size);

/* Ends the hash and writes it in lowercase hexadecimal, with a final NUL. */
void sha256_end(struct sha256 *hash, char hex[SHA256_HEX + 1]);

#endif
