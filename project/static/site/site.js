// What people's pages do with a script. Everything works without it.
"use strict";
