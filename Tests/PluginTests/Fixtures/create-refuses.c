// Its create says what it wants.
#include "trivet_plugin.h"
static void *refuse(const trivet_strategy *strategy, const trivet_host *host,
                    const trivet_strategy_setup *setup, trivet_error *error) {
    (void)strategy, (void)host;
    trivet_error_set(error, setup->config);
    return NULL;
}
#define CREATE refuse
#include "fixture.h"
