module Greeting
  def self.for(instance)
    { hello: 'hello-ruby', instance: instance, ruby: RUBY_VERSION }
  end
end
