// Opens a file and forgets it.
#include <fcntl.h>
#include "trivet_plugin.h"
static void *open_one(const trivet_strategy *strategy, const trivet_host *host,
                      const trivet_strategy_setup *setup, trivet_error *error);
#define CREATE open_one
#include "strategy.h"
static void *open_one(const trivet_strategy *table, const trivet_host *host,
                      const trivet_strategy_setup *setup, trivet_error *error) {
    (void)table;
    static int file = -1;
    if (file < 0) file = open("/dev/null", O_RDONLY);
    return make(host, setup, error);
}
