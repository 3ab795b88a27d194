<?php
// Prints the options of .bp-config/options.json that the buildpack knows, as NAME=value lines a shell reads.

[, $build, $have] = $argv;

function refuse(string $message): never
{
    fwrite(STDERR, "       $message\n");
    exit(1);
}

$file = "$build/.bp-config/options.json";
$options = [];
if (is_file($file)) {
    $options = json_decode(file_get_contents($file), true);
    if (!is_array($options)) {
        refuse('.bp-config/options.json is not a JSON object');
    }
}

/** A plain relative path, for it goes into a configuration. */
function path(array $options, string $name, string $default): string
{
    $value = trim((string) ($options[$name] ?? $default), '/');
    if ($value !== '' && (!preg_match('#^[A-Za-z0-9._/-]+$#', $value) || preg_match('#(^|/)\.\.?(/|$)#', $value))) {
        refuse("$name in .bp-config/options.json is not a plain path inside the app");
    }
    return $value;
}

$minor = implode('.', array_slice(explode('.', $have), 0, 2));
$wanted = $options['PHP_VERSION'] ?? '';
$known = ['', '{PHP_DEFAULT}', '{PHP_' . str_replace('.', '', $minor) . '_LATEST}', $minor, "$minor.x", "$minor.*", $have];
if (!in_array($wanted, $known, true)) {
    refuse("PHP_VERSION in .bp-config/options.json is " . substr((string) json_encode($wanted), 0, 60) . ", but this buildpack has PHP $have: $minor.x takes it");
}
$server = $options['WEB_SERVER'] ?? 'nginx';
if (!in_array($server, ['nginx', 'httpd', 'none'], true)) {
    refuse('WEB_SERVER in .bp-config/options.json can be nginx, httpd (nginx serves all the same) or none');
}
$start = $options['APP_START_CMD'] ?? '';
if (!is_string($start) || ($start !== '' && !preg_match('#^[A-Za-z0-9._/ =:-]{1,200}$#', $start))) {
    refuse('APP_START_CMD in .bp-config/options.json is not a plain command');
}
if ($server === 'none' && $start === '') {
    // What Cloud Foundry looks for.
    $programs = array_filter(['app.php', 'main.php', 'run.php', 'start.php'], fn ($name) => is_file("$build/$name"));
    $start = reset($programs) ?: refuse('WEB_SERVER is none in .bp-config/options.json, so APP_START_CMD must say which file PHP runs');
}
$known = ['PHP_VERSION', 'WEB_SERVER', 'WEBDIR', 'LIBDIR', 'COMPOSER_VENDOR_DIR', 'APP_START_CMD', 'PHP_EXTENSIONS', 'ZEND_EXTENSIONS'];
$unknown = array_map(fn ($name) => preg_replace('/[^A-Za-z0-9_.-]/', '?', substr((string) $name, 0, 60)), array_diff(array_keys($options), $known));
$answers = [
    'UNKNOWN' => implode(' ', $unknown),
    'EXTENSIONS' => implode(' ', array_filter(
        array_merge((array) ($options['PHP_EXTENSIONS'] ?? []), (array) ($options['ZEND_EXTENSIONS'] ?? [])),
        fn ($name) => is_string($name) && preg_match('/^[A-Za-z0-9_]{1,40}$/', $name),
    )),
    'WEBDIR' => path($options, 'WEBDIR', 'htdocs'),
    'LIBDIR' => path($options, 'LIBDIR', 'lib'),
    'VENDORDIR' => path($options, 'COMPOSER_VENDOR_DIR', 'vendor'),
    'HTTPD' => ($options['WEB_SERVER'] ?? '') === 'httpd' ? 'yes' : '',
    'APP_START_CMD' => $start,
];
foreach ($answers as $name => $value) {
    echo "OPTION_$name=$value\n";
}
