// Refuses with the descriptors it was born with, beyond the four that a trial has.
#include "trivet_plugin.h"

#include <fcntl.h>
static void *count(const trivet_strategy *strategy, const trivet_host *host,
                   const trivet_strategy_setup *setup, trivet_error *error) {
    (void)strategy, (void)host, (void)setup;
    int found = 0;
    for (int fd = 4; fd < 1024; fd++) found += fcntl(fd, F_GETFD) >= 0;
    trivet_error_set(error, found ? TRIVET_STR("some") : TRIVET_STR("none"));
    return NULL;
}
#define CREATE count
#include "fixture.h"
