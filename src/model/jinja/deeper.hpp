/// Counts how deeply the interpreter's calls are nested.
#pragma once

#include "src/core/text.hpp"
#include "src/model/jinja/interpreter.hpp"

namespace windlass::jinja {

class Interpreter::Deeper {
 public:
  explicit Deeper(Interpreter& interpreter) : interpreter_(interpreter) {
    if (interpreter.depth_ >= max_evaluation_depth)
      throw Problem(windlass::text("macros or expressions are nested deeper than ", max_evaluation_depth));
    ++interpreter.depth_;
  }
  ~Deeper() { --interpreter_.depth_; }
  Deeper(Deeper const&) = delete;
  Deeper& operator=(Deeper const&) = delete;

 private:
  Interpreter& interpreter_;
};

}  // namespace windlass::jinja
