// Starts a thread that nobody ends.
#include <pthread.h>
#include "trivet_plugin.h"
static void *start(const trivet_strategy *strategy, const trivet_host *host,
                   const trivet_strategy_setup *setup, trivet_error *error);
#define CREATE start
#include "strategy.h"
static void *idle(void *nothing) {
    for (;;) pause();
    return nothing;
}
static void *start(const trivet_strategy *table, const trivet_host *host,
                   const trivet_strategy_setup *setup, trivet_error *error) {
    (void)table;
    static bool runs;
    pthread_t thread;
    if (!runs) runs = pthread_create(&thread, NULL, idle, NULL) == 0;
    return make(host, setup, error);
}
