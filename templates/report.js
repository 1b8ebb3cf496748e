"use strict";
{% include "viewer.js" %}

{% include "mistakes.js" %}

{% include "contents.js" %}
{% include "tables.js" %}
