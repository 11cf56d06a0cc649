// On the page for signing in: nobody's pages are on this device now. What waits to be sent stays its owner's.
"use strict";
checkIns.belongs("").catch(() => {});
