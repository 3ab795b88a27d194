<?php

// A small web app: greets, and reports how its process and a child of it are confined.

require __DIR__ . '/../vendor/autoload.php';

use Cupola\Greeting\Greeting;

function confinement(string $status): array
{
    preg_match_all('/^(Uid|Seccomp|NoNewPrivs|CapEff):\s+(\S+)/m', $status, $found);
    return array_combine($found[1], $found[2]);
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
header('Content-Type: application/json');
if ($path === '/') {
    echo json_encode(Greeting::for((int) getenv('CF_INSTANCE_INDEX')));
} elseif ($path === '/confinement') {
    exec('unshare --user true 2>/dev/null', $_, $unshare);
    echo json_encode([
        'own' => confinement(file_get_contents('/proc/self/status')),
        'child' => confinement((string) shell_exec('cat /proc/self/status')),
        'unshare' => $unshare,
        'memory_limit' => getenv('MEMORY_LIMIT'),
    ]);
} else {
    http_response_code(404);
    echo json_encode(['error' => 'there is nothing here']);
}
