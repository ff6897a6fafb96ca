/// Inputs and plans of the policies that a job asks, as JSON, and the policies asked again from it.
#pragma once

#include <boost/json.hpp>
#include <map>
#include <string>

#include "src/policy/plan_log.hpp"

namespace windlass {

boost::json::object as_json(StepBatchingInput const& in);
boost::json::object as_json(StepBatchingPlan const& plan);
boost::json::object as_json(DispatchInput const& in);
boost::json::object as_json(DispatchPlan const& plan);
boost::json::object as_json(FailureInput const& in);
boost::json::object as_json(FailurePlan const& plan);
boost::json::object as_json(LayoutInput const& in);
boost::json::object as_json(LayoutPlan const& plan);
boost::json::object as_json(WalltimeInput const& in);
boost::json::object as_json(WalltimePlan const& plan);
boost::json::object as_json(SaveInput const& in);
boost::json::object as_json(SavePlan const& plan);
boost::json::object as_json(RequeueInput const& in);
boost::json::object as_json(RequeueChoice const& choice);
boost::json::object as_json(WaitingUsers const& users);
boost::json::object as_json(FairTurn const& turn);
boost::json::object as_json(DeadlineInput const& in);
boost::json::object as_json(DeadlinePlan const& plan);

/// From an input as as_json() gives it to the plan. Throws where a field is missing or of another kind.
using PolicyReplay = boost::json::object (*)(boost::json::object const& in);
std::map<std::string, PolicyReplay> const& policy_replays();

}  // namespace windlass
