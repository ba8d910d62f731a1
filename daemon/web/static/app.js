// What every page does beyond being a page.  Each part works alone, and no page needs any of them.
import "./parts/theme_toggle.js";
import "./parts/dialogs.js";
import "./parts/toasts.js";
import "./parts/times.js";
import "./parts/copying.js";
import "./parts/shortcuts.js";
import "./parts/forms.js";
import "./parts/announcing.js";
import "./parts/progress.js";
import "./parts/live.js";
