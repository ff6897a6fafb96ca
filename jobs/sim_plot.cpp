#include <algorithm>
#include <cmath>

#include "jobs/sim_report.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr double width = 640, height = 400, left = 60, right = 20, top = 40, bottom = 50;

struct Axis {
  double most;  ///< of the rate
  double x(double rate) const { return left + rate / most * (width - left - right); }
  double y(double share) const { return height - bottom - share * (height - top - bottom); }
};

std::string escaped(std::string const& raw) {
  std::string safe;
  for (char const c : raw) {
    if (c == '<' || c == '>' || c == '&')
      safe += c == '<' ? "&lt;" : c == '>' ? "&gt;" : "&amp;";
    else
      safe += c;
  }
  return safe;
}

std::string label(double x, double y, char const* anchor, std::string const& words) {
  return text("<text x=\"", x, "\" y=\"", y, "\" text-anchor=\"", anchor, "\">", escaped(words), "</text>\n");
}

std::string line(double x1, double y1, double x2, double y2, char const* style) {
  return text("<line x1=\"", x1, "\" y1=\"", y1, "\" x2=\"", x2, "\" y2=\"", y2, "\" ", style, "/>\n");
}

/// 1, 2 or 5 times a power of ten, so that there are four to ten steps.
double step_of(double most) {
  double const power = std::pow(10, std::floor(std::log10(most)) - 1);
  for (double const factor : {1.0, 2.0, 5.0, 10.0, 20.0})
    if (most / (factor * power) <= 10) return factor * power;
  return most;
}

std::string grid(Axis const& axis) {
  std::string svg;
  char const* const grey = "stroke=\"#ddd\"";
  for (int tenth = 0; tenth <= 10; tenth += 2) {
    double const y = axis.y(tenth / 10.0);
    svg += line(left, y, width - right, y, grey) + label(left - 8, y + 4, "end", text(tenth * 10, " %"));
  }
  double const step = step_of(axis.most);
  for (int i = 0; i * step <= axis.most * 1.0001; ++i) {
    double const x = axis.x(i * step);
    svg += line(x, top, x, height - bottom, grey) + label(x, height - bottom + 18, "middle", text(i * step));
  }
  return svg;
}

/// One cluster's points, joined, with its name at the lower left.
std::string curve(Axis const& axis, ClusterFigures const& cluster, std::size_t index) {
  constexpr char const* colours[] = {"#246", "#c60", "#283", "#808", "#a33", "#077"};
  char const* const colour = colours[index % std::size(colours)];
  std::string points, svg;
  for (RunFigures const& run : cluster.runs) {
    points += text(axis.x(run.rate_per_s), ',', axis.y(run.attainment), ' ');
    svg += text("<circle cx=\"", axis.x(run.rate_per_s), "\" cy=\"", axis.y(run.attainment), "\" r=\"3\" fill=\"",
                colour, "\"/>\n");
  }
  double const y = height - bottom - 12 - 16 * double(index);
  svg += text("<rect x=\"", left + 8, "\" y=\"", y - 9, "\" width=\"10\" height=\"10\" fill=\"", colour, "\"/>\n") +
         label(left + 24, y, "start", cluster.name);
  return svg + text("<polyline fill=\"none\" stroke=\"", colour, "\" stroke-width=\"2\" points=\"", points, "\"/>\n");
}

}  // namespace

std::string attainment_svg(Scenario const& scenario, std::vector<ClusterFigures> const& clusters) {
  double most = 1e-9;
  for (ClusterFigures const& cluster : clusters)
    for (RunFigures const& run : cluster.runs) most = std::max(most, run.rate_per_s);
  Axis const axis{.most = most};
  std::string svg = text("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"", height,
                         "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" "
                         "fill=\"white\"/>\n");
  svg += label(width / 2, 22, "middle", scenario.name) + grid(axis);
  svg += label(width / 2, height - 10, "middle", "offered rate (requests/s)");
  svg += line(left, axis.y(scenario.goal.share), width - right, axis.y(scenario.goal.share),
              "stroke=\"#c33\" stroke-dasharray=\"6 4\"");
  for (std::size_t i = 0; i < clusters.size(); ++i) svg += curve(axis, clusters[i], i);
  return svg + "</svg>\n";
}

}  // namespace windlass
