<?php

namespace Cupola\Greeting;

final class Greeting
{
    public static function for(int $instance): array
    {
        return ['hello' => 'hello-php', 'instance' => $instance, 'php' => PHP_VERSION];
    }
}
