// Says no before it has shown anything.
#include "trivet_plugin.h"
TRIVET_EXPORT const trivet_plugin *trivet_plugin_v1(const trivet_host *host, trivet_error *error) {
    (void)host;
    trivet_error_set(error, TRIVET_STR("the licence has expired"));
    return NULL;
}
