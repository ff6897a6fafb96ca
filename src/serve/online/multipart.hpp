/// Forms with files, as browsers and the openai package send them (RFC 7578).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace windlass {

struct FormPart {
  std::string name, file_name;  ///< file_name is empty where the part is no file
  std::string_view content;     ///< of the body
};

/// `content_type` is the request's header with the boundary. The body must outlive the parts. Throws ApiError where it
/// is no multipart/form-data, is cut off, or has more than 16 parts.
std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view body);

}  // namespace windlass
