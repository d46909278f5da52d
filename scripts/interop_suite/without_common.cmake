# Read after each `project()` while llama-cpp-python is compiled. It turns the library for llama.cpp's own programs
# on, whatever the settings say; Python doesn't use it, and it is half of the work.
set(LLAMA_BUILD_COMMON OFF)
