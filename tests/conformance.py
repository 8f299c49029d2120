"""The conformance matrix: requirements of ASC 606 and IFRS 15 in our own words, the case that tests each, its figures.

`make conformance` runs the cases and writes docs/conformance.md; tests/test_conformance.py holds the page to this list, and
each figure to the case that asserts it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "conformance.md"

# Which module a case of a kind is in.
_WORKED, _STANDARD, _ESTIMATES = "test_worked_examples", "test_standard_examples", "test_estimates"
_DISCLOSURES, _COSTS = "test_disclosures", "test_costs"
_FORMS, _FINANCING = "test_contract_forms", "test_financing"
_COMBINED, _MEETING = "test_combinations", "test_where_documents_meet_the_books_are_right"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement with its paragraphs in both standards; tested by a case, or a gap and why.

    `published` are the figures of the source, `ours` those the case asserts, where it has any.
    """

    us: str
    ifrs: str
    says: str
    module: str = ""
    case: str = ""
    published: str = ""
    ours: str = ""
    gap: str = ""

    @property
    def node(self) -> str:
        """The case as pytest names it."""
        return f"tests/{self.module}.py::{self.case}"


STEPS: dict[str, list[Requirement]] = {
    "The contract": [
        Requirement("25-7, 25-8", "15, 16", "Money that belongs to no contract yet is a liability, not revenue.",
                    _WORKED, "test_pub_031_one_payment_for_several", "50 stays with the customer", "770.00 in cash, 50.00 of it first the customer's"),
        Requirement("25-9", "17", "Contracts signed together are accounted for as one.",
                    _FORMS, "test_contracts_signed_together_are_one", "", "100.00 and 200.00 of 300"),
        Requirement("25-1, 25-6 to 25-8", "9, 14 to 16", "What is given before there is a contract earns nothing.",
                    _FORMS, "test_a_free_trial_before_a_contract_earns_nothing", "", "0, then 100"),
        Requirement("25-3, 32-36", "11, 81", "A free period of an agreed term shares its price.",
                    _FORMS, "test_a_free_trial_of_an_agreed_term_shares_its_price", "", "120.00 a month of 13"),
        Requirement("25-12", "20", "A renewal is a contract of its own for what it promises.",
                    _FORMS, "test_a_renewal_is_a_term_of_its_own", "", "100.00, then 110.00 a month"),
        Requirement("25-12", "20", "Distinct goods added at their stand-alone price are a contract of their own.",
                    _WORKED, "test_pub_020_a_separate_contract", "100 and 95 a unit", "12000.00 and 2850.00 in all"),
        Requirement("25-13(a)", "21(a)", "Where what remains is distinct, what is left of both prices is earned over it.",
                    _STANDARD, "test_example_7_services_extended_for_less", "70,000 a year", "70000.00 a year"),
        Requirement("25-13(a), 55-114 to 55-116", "21(a), IE22 to IE24", "A concession for what was given lowers revenue at once, not what remains.",
                    _WORKED, "test_pub_021_prospective_with_a_concession", "900 at once; 93.33 a unit", "2800.00 for 30 units"),
        Requirement("25-13(a)", "21(a)", "Two modifications of one contract: the second pools what the first left.",
                    _COMBINED, f"{_MEETING}[C11]", "", "8333.33, then 5833.33 a month"),
        Requirement("25-13(a)", "21(a)", "A modification comes before a credit note of its day, however they arrive.",
                    _COMBINED, f"{_MEETING}[C30]", "", "685.71 a month from then"),
        Requirement("25-13(b)", "21(b)", "Where what remains is not distinct, revenue catches up with the progress of the whole.",
                    _STANDARD, "test_example_8_a_building_changed_on_the_way", "91,200", "91463.41, unrounded"),
        Requirement("25-13(a)", "21(a)", "What is added below its stand-alone price shares what is left of the price.",
                    _FORMS, "test_what_is_added_below_its_stand_alone_price_shares_what_is_left", "", "562.50 and 187.50 of 750"),
        Requirement("25-13(c)", "21(c)", "A change of both kinds is split, obligation by obligation.",
                    _FORMS, "test_a_mixed_modification_says_how_each_change_counts", "", "310.00, then 210.00 a month"),
        Requirement("25-10, 25-13", "18, 21", "A penalty for leaving is part of the price of what is still given.",
                    _FORMS, "test_a_termination_with_notice_and_penalty", "", "130.00 and 131.00 over the notice"),
        Requirement("25-3, 25-4", "11, 12", "A contract each month of which can be cancelled lasts a month.",
                    _WORKED, "test_pub_029_month_to_month", "80, 80, 100", "as billed"),
    ],
    "Performance obligations": [
        Requirement("25-14(b), 25-15", "22(b), 23", "A series of like days is one obligation, earned day by day.",
                    _WORKED, "test_pub_001_a_month_that_straddles_two", "17 and 14 of 31", "31.00 from 2019-01-15"),
        Requirement("25-19 to 25-22, 55-141 to 55-145", "27 to 30, IE49 to IE53", "What a customer can use on its own, and is promised apart, is an obligation of its own.",
                    _STANDARD, "test_example_11_a_goods_and_services_that_are_distinct", "four obligations", "100.00, 20.00, 30.00, 50.00"),
        Requirement("25-21, 55-146 to 55-150", "29, IE54 to IE58", "What one part changes of another is one promise with it.",
                    _STANDARD, "test_example_11_b_what_is_customised_is_one", "three obligations", "48.00 of 120.00 at 40 %"),
        Requirement("32-40, 25-14(b)", "85, 22(b)", "Of a series of like periods, fees for use belong to the period of use.",
                    _STANDARD, "test_example_50_an_option_that_is_no_material_right", "none printed", "30.00 a month, 35.00 in March"),
        Requirement("25-19 to 25-22, 55-30 to 55-35", "27 to 30, B28 to B33", "A warranty one can buy is an obligation of its own; an assurance is not.",
                    _STANDARD, "test_example_44_a_warranty_one_buys", "none printed", "120.00 and 30.00"),
    ],
    "The transaction price": [
        Requirement("32-8", "53", "Variable consideration is estimated by expected value or as the most likely amount, whichever predicts better.",
                    _ESTIMATES, "test_example_21_a_penalty_by_days_and_an_award", "-2,000 and 150,000", "-2000.00 and 150000.00"),
        Requirement("32-6, 32-7", "51, 52", "A penalty makes a part of the price variable.",
                    _STANDARD, "test_example_20_a_penalty", "900,000 fixed, 100,000 variable", "900000.00 and 100000.00"),
        Requirement("32-11, 32-12", "56, 57", "Only what will probably not be reversed is part of the price.",
                    _ESTIMATES, "test_example_25_fees_that_depend_on_the_market", "nothing until fixed", "58.00 once fixed"),
        Requirement("32-14, 32-42 to 32-44", "59, 87 to 89", "Each estimate is made anew, and what was given earns its part at once.",
                    _ESTIMATES, "test_example_24_a_volume_discount", "7,500, then 44,250", "7500.00, -750.00 and 45000.00"),
        Requirement("32-42, 32-43", "87, 88", "A price that falls after the contract began is shared as at its start; what was given lowers revenue at once.",
                    _COMBINED, f"{_MEETING}[C18]", "", "100.00, then -20.00"),
        Requirement("32-42 to 32-44", "87 to 89", "Only a changed consideration changes the price: a bill that is replaced does not.",
                    _COMBINED, f"{_MEETING}[C24]", "", "100.00 a month"),
        Requirement("32-42 to 32-44", "87 to 89", "A bill that is written off or refunded leaves the price as it was agreed; only its part to come is given up.",
                    _COMBINED, f"{_MEETING}[C21]", "", "300.00 of bad debt, 100.00 a month"),
        Requirement("32-7, 32-12", "52, 57", "Price concessions that are expected lower the price.",
                    _ESTIMATES, "test_example_23_price_concessions", "60,000", "60000.00"),
        Requirement("32-10, 55-22 to 55-27", "55, B20 to B25", "What is expected back is owed, not earned.",
                    _ESTIMATES, "test_example_22_returns_are_expected", "9,700 and 300", "9700.00, and 300.00 of refund liability"),
        Requirement("32-10, 32-40", "55, 85", "What is expected back of usage is owed as it is used, and given later.",
                    _ESTIMATES, "test_a_volume_rebate_on_usage", "", "950.00 and 1900.00 of 3000.00"),
        Requirement("45-4, 55-291 to 55-294", "108, IE204", "A receivable may be more than the price: the rest is owed back.",
                    _STANDARD, "test_example_40_a_receivable_that_will_fall", "150, 125 and 25", "150.00, 125.00 and 25.00"),
        Requirement("32-15 to 32-20, 55-240 to 55-243", "60 to 65, IE148 to IE151", "What is paid ahead bears interest, which is revenue when it is given.",
                    _FINANCING, "test_example_29_paid_two_years_ahead", "494 and 4,494", "494.40 and 4494.40"),
        Requirement("32-15 to 32-20, 55-227 to 55-232", "60 to 65, IE135 to IE140", "What is paid later is worth less when it is given: the rest is interest.",
                    _FINANCING, "test_example_26_paid_two_years_after", "100 and 21", "100.00 and 21"),
        Requirement("32-19, 55-235 to 55-239", "64, IE143 to IE147", "The rate is the customer's, as at the contract's start.",
                    _FINANCING, "test_example_28_a_loan_by_monthly_payments", "1,000,000 and 848,357", "999999.81 and 848356.87"),
        Requirement("32-21 to 32-24", "66 to 69", "Consideration that is no money counts at fair value.", gap="amounts are money"),
        Requirement("32-25 to 32-27, 55-251 to 55-254", "70 to 72, IE159 to IE162", "What is paid to a customer for nothing distinct lowers revenue.",
                    _STANDARD, "test_example_32_consideration_payable_to_a_customer", "1,800,000", "1800000.00"),
    ],
    "Allocation": [
        Requirement("32-28 to 32-31", "73 to 76", "A price is shared by stand-alone selling prices.",
                    _STANDARD, "test_example_33_a_price_below_stand_alone_prices", "33, 17, 50", "33.33, 16.67, 50.00"),
        Requirement("32-32, 32-33", "77, 78", "Stand-alone prices are those of the day the contract is signed.",
                    "test_catalogue", "test_a_contract_takes_the_prices_of_the_day_it_is_signed", "", "30.00 and 20.00, then 60.00 and 20.00"),
        Requirement("32-34(c)", "79(c)", "What sells at widely different prices takes the residual.",
                    _STANDARD, "test_example_34_b_the_residual", "40, 33, 27, 30", "40.00, 33.00, 27.00, 30.00"),
        Requirement("32-35", "80", "A residual that is no plausible price is refused.",
                    _STANDARD, "test_example_34_c_a_residual_that_is_no_price", "5 of 15 to 45", "5.00 of 15.00 to 45.00"),
        Requirement("32-36, 32-37", "81, 82", "A discount of some obligations is theirs alone.",
                    _STANDARD, "test_example_34_a_a_discount_of_some", "40, 33, 27", "40.00, 33.00, 27.00"),
        Requirement("32-36", "81", "A discount of part of an enforceable term belongs to all of it.",
                    _WORKED, "test_pub_029_a_coupon_in_an_enforceable_term", "1,160 over twelve months", "each month's revenue and contract asset"),
        Requirement("32-39 to 32-41", "84 to 86", "Variable consideration of one obligation is allocated to it.",
                    _ESTIMATES, "test_example_35_a_variable_consideration_of_one_licence", "800 and the royalties", "800.00 and 200.00"),
        Requirement("32-41", "86", "Variable consideration of all is shared as the price is.",
                    _ESTIMATES, "test_example_35_b_variable_consideration_shared", "133 and 167 of 300", "133.33 and 166.67"),
        Requirement("32-44, 32-45", "89, 90", "A component that is estimated anew goes to those that got it; what joined at its stand-alone price takes none.",
                    _COMBINED, f"{_MEETING}[C13]", "", "-20.00 for what is given, 440.00 each for the others"),
        Requirement("32-45(a)", "90(a)", "A component that is lost after a cancellation leaves those that remain.",
                    _COMBINED, f"{_MEETING}[C14]", "", "1100.00, -100.00 and 1000.00"),
        Requirement("32-28", "73, 74", "Each credit of an order earns the same, whenever its free ones arrive.",
                    _COMBINED, f"{_MEETING}[C31]", "", "250.00, then 750.00"),
        Requirement("32-45", "90", "A price that changes after a modification changes what was promised before it, and what stands since.",
                    _ESTIMATES, "test_example_6_a_change_of_the_price_after_a_modification", "600, 20, 460, 460", "600.00, 20.00, 460.00, 460.00"),
    ],
    "Recognition": [
        Requirement("25-30", "38", "A good is earned when it is handed over.",
                    _STANDARD, "test_example_39_a_contract_asset_first", "400, then 600", "400.00, then 600.00"),
        Requirement("25-27, 25-31 to 25-37", "35, 39 to 45", "A service is earned as it is given, by progress.",
                    _WORKED, "test_pub_034_a_cumulative_catch_up", "20,000 at 40 %", "2000.00 where the price rose by 16,000"),
        Requirement("55-18", "B16", "What is metered is earned when it is used, whenever it is billed.",
                    _WORKED, "test_pub_010_usage_billed_in_arrears", "15 and 17", "32.00 billed"),
        Requirement("25-31 to 25-37, 55-17", "39 to 45, B15", "Milestones that show what was given measure progress.",
                    _FORMS, "test_milestones_earn_what_each_is_worth", "", "180.00, 270.00, 450.00"),
        Requirement("25-31, 55-184", "39", "The same service at prices that rise is earned evenly.",
                    _FORMS, "test_a_ramped_price_of_one_service_is_earned_evenly", "", "20.00 a month of 10, 20, 30"),
        Requirement("55-58 to 55-62, 55-367 to 55-374", "B56 to B62, IE281 to IE288", "A licence that is not distinct is earned with what it is part of.",
                    _STANDARD, "test_example_56_a_licence_that_is_not_distinct_or_is", "none printed", "10.00 a month; 80.00 at once"),
        Requirement("55-58A, 55-383 to 55-388", "B58, IE297 to IE302", "A right to access what goes on changing is earned over time.",
                    _STANDARD, "test_example_58_a_right_to_access", "1,000,000 a year", "1000000.00 a year"),
        Requirement("55-58B, 55-389 to 55-392", "B61, IE303 to IE306", "A right to use what stays as it is, is earned at once.",
                    _STANDARD, "test_example_59_a_right_to_use", "all, of 10,000 a month", "240000.00 at once"),
        Requirement("55-65, 55-393, 55-394", "B63, IE307, IE308", "Royalties are earned as the customer sells or uses.",
                    _STANDARD, "test_example_60_royalties_of_a_film", "none printed", "4000.00 and 1000.00"),
        Requirement("55-65 to 55-65B, 55-375 to 55-382", "B63 to B63B, IE289 to IE296", "A franchise: equipment at once, access over time, royalties as they come.",
                    _STANDARD, "test_example_57_a_franchise", "150,000; 1,000,000 over ten years; 5 %", "158333.34 and 10833.33 in those months"),
        Requirement("55-58A, 55-65, 55-395 to 55-399", "B58, B63, IE309 to IE313", "A name for a year with royalties.",
                    _STANDARD, "test_example_61_a_clubs_name_with_royalties", "2,000,000 over the year; 5 %", "166666.67 a month, 181666.67 with royalties"),
    ],
    "Presentation": [
        Requirement("45-1, 45-3", "105, 107", "What is given and not yet due unconditionally is a contract asset.",
                    _STANDARD, "test_example_39_a_contract_asset_first", "400, then 1,000 receivable", "400.00, then 1000.00"),
        Requirement("45-1", "105", "A contract is shown net, as one asset or one liability.",
                    _DISCLOSURES, "test_contract_balances_are_net_by_contract", "", "136.67, then 125.00 of liability, no asset"),
        Requirement("45-1", "105", "A bill that names one obligation is the contract's: what is given of all of it is set against it.",
                    _COMBINED, f"{_MEETING}[C20]", "", "40.00, then nothing"),
        Requirement("45-2, 45-4, 55-284", "106, 108, IE198, IE199", "A request to pay under a contract that can be cancelled is no receivable.",
                    _WORKED, "test_pub_023_a_cancellable_contract", "1,000 with the money", "1000.00 with the money"),
        Requirement("45-1, 25-9", "105, 17", "Contracts accounted for as one are shown net as one.",
                    _FORMS, "test_combined_contracts_are_shown_net", "", "191.67 of liability, no asset beside it"),
        Requirement("45-4, 55-285, 55-286", "108, IE200", "A right that is unconditional when due is a receivable then.",
                    _WORKED, "test_pub_023_a_contract_that_binds_when_payment_is_due", "1,000 when due", "1000.00 on 2019-01-31"),
    ],
    "Guidance": [
        Requirement("55-37, 55-38", "B35A, B36", "Who collects for another earns nothing by it.",
                    "test_masters", "test_each_entity_keeps_its_part", "", "202.00 collected, 102.00 of it owed"),
        Requirement("55-42, 55-43, 55-340 to 55-342", "B40, B41, IE254 to IE256", "What everybody can buy at that price is no right.",
                    _STANDARD, "test_example_50_an_option_that_is_no_material_right", "none printed", "35.00 when used"),
        Requirement("55-42 to 55-44", "B40 to B42", "A discount others do not get is an obligation of its own.",
                    _STANDARD, "test_example_49_a_voucher_that_is_a_material_right", "89 and 11", "89.29 and 10.71"),
        Requirement("55-45", "B43", "Renewals at a better price may be weighed by what is expected of them.",
                    _STANDARD, "test_example_51_an_option_to_renew", "780, 877, 1,053", "779.86, 877.33, 1052.81"),
        Requirement("55-42, 55-46 to 55-48", "B40, B44 to B46", "Points are earned as they are redeemed, of those expected to be.",
                    _STANDARD, "test_example_52_points", "91,324; 4,110; 3,493", "91324.20, 4109.59, 3492.92"),
        Requirement("55-42", "B40", "Free credits promised with a contract are a material right: they share its price.",
                    "test_rights", "test_credits_share_the_price_of_their_contract", "", "7.50 a month; 22.50 with 20.00 of credits used"),
        Requirement("32-28, 55-42", "73, B40", "Bonus credits share the price of the order they come with.",
                    _WORKED, "test_pub_037_buy_one_get_one", "0.50 a credit", "50.00 of credits used earn half"),
        Requirement("55-48", "B46", "Expected breakage is earned with use; else what is left when it expires.",
                    _WORKED, "test_pub_027_breakage", "47.06 and 52.94; or 40, 45, 15", "0.15 expected, of 100.00"),
        Requirement("55-50 to 55-53", "B48 to B51", "A fee that gives nothing of its own belongs to what it sets up.",
                    _WORKED, "test_pub_038_a_set_up_fee", "59, 9, 9 where it does", "50.00 at once only if the line says so"),
        Requirement("55-66 to 55-88", "B64 to B86", "Repurchase agreements, consignment, bill-and-hold, acceptance.", gap="of goods, which the systems we keep books for do not sell"),
    ],
    "Costs to obtain a contract (ASC 340-40)": [
        Requirement("340-40-25-1, 35-1", "91, 99", "A commission is an asset, amortised over what it brings in.",
                    _WORKED, "test_pub_026_a_commission", "50 a month of 3,000", "3000.00 to 2030-12-31"),
        Requirement("340-40-35-3", "101", "What will not be recovered is impaired.",
                    _COSTS, "test_a_part_impaired_leaves_less_to_amortise", "", "45.00 impaired, 40.00 amortised, 35.00 left"),
        Requirement("340-40-35-3", "101", "A contract that ends impairs what is left.",
                    _COSTS, "test_a_contract_that_ends_impairs_its_costs", "", "50.00 amortised, 70.00 impaired"),
        Requirement("340-40-25-5, 35-1", "95, 99", "A cost that sets up what a contract promises is an asset, amortised as it is given.",
                    _COSTS, "test_a_cost_to_fulfil_is_an_asset_too", "", "120.00, 30.00, 90.00"),
    ],
    "Disclosure": [
        Requirement("50-5", "114", "Revenue is disaggregated.", _DISCLOSURES, "test_revenue_is_disaggregated", "", "30.00, 15.00 and -5.00"),
        Requirement("50-8", "116", "Balances at both ends, and the revenue that was in the opening liability.",
                    _DISCLOSURES, "test_contract_balances_are_net_by_contract", "", "10.00 of it"),
        Requirement("50-10", "118", "What changed the balances is explained.",
                    _DISCLOSURES, "test_deferred_revenue_rolls_forward", "", "108.33, 136.67, 125.00"),
        Requirement("50-13", "120", "What is promised and not given, and when it will be revenue.",
                    _DISCLOSURES, "test_remaining_obligations_by_horizon", "", "110.00 within 12 months of 165.00"),
        Requirement("50-13, 50-14A", "120, 121", "What is committed and not used is promised: its price is fixed.",
                    _DISCLOSURES, "test_what_is_committed_and_not_used_is_promised", "", "90000.00 of 120000.00"),
        Requirement("50-13", "120", "Credits that are ordered are promised before they are billed.",
                    _DISCLOSURES, "test_prepaid_orders_are_promised_before_they_are_billed", "", "70.00 of 100.00, billed or not"),
        Requirement("50-14, 50-14A", "121", "Contracts of a year or less may be left out of it; usage is not in it.",
                    _DISCLOSURES, "test_remaining_obligations_of_short_contracts_are_told_apart", "", "60.00 of 260.00"),
        Requirement("50-17 to 50-20", "123 to 126", "Judgements are disclosed.", _DISCLOSURES, "test_a_schedule_names_its_versions", "",
                    "90.00 for 120.00, and why it counts as it does"),
        Requirement("340-40-50-2, 50-3", "127, 128", "Capitalised costs, amortisation and impairment.",
                    _COSTS, "test_a_cost_is_amortised_month_by_month", "", "120.00, 30.00, 90.00"),
    ],
    "Beside revenue": [
        Requirement("830-20-35-1", "IAS 21.28", "A receivable settled at another rate leaves a gain or a loss.",
                    _WORKED, "test_pub_012_a_realised_loss", "3.00 lost", "30.00 at 1.20 and 1.10"),
        Requirement("830-20-35-2", "IAS 21.23(a)", "Open receivables count at the closing rate.",
                    _WORKED, "test_pub_035_a_revaluation_reversed_then_paid", "5.00, then 3.00", "100.00 at 1.10, 1.15, 1.13"),
        Requirement("830-10-45-18", "IFRIC 22", "Money received ahead stays at its day's rate.",
                    _WORKED, "test_pub_028_an_advance_in_another_currency", "116.00 of revenue, 1.20 lost", "116.00 and 1.20"),
        Requirement("326-20-35-8", "IFRS 9.5.4.4", "What is uncollectible is written off; its tax is claimed back.",
                    _WORKED, "test_pub_030_a_write_off_with_its_tax", "20.00 and 4.00", "20.00 and 4.00"),
    ],
}  # fmt: skip

_HEAD = """# Conformance

What ASC 606 (Topic 606-10, unless another is named) and IFRS 15 require of this work, in our own words; the case that tests
it; the figures its source prints, and ours, which the case asserts. A *gap* is what we do not do. Written by
`make conformance`; `make test` fails where a case does, or where this page says something else than the cases.

"""


def render(failed: set[str]) -> str:
    """The page, given which cases failed."""
    gaps = sum(1 for rows in STEPS.values() for row in rows if row.gap)
    every = [row for rows in STEPS.values() for row in rows]
    held = sum(1 for row in every if not row.gap and row.node not in failed)
    parts = [_HEAD, f"{len(every)} requirements: {held} hold, {gaps} gaps, {len(every) - held - gaps} differ.\n"]
    for step, rows in STEPS.items():
        parts.append(
            f"\n## {step}\n\n| ASC 606-10 | IFRS 15 | requirement | published | ours | case |\n|---|---|---|---|---|---|\n"
        )
        for row in rows:
            case = f"*gap*: {row.gap}" if row.gap else f"`{row.module}::{row.case}`"
            case += " **differs**" if row.node in failed else ""
            parts.append(f"| {row.us} | {row.ifrs} | {row.says} | {row.published} | {row.ours} | {case} |\n")
    return "".join(parts)


class _Failures:
    """What failed of a pytest run, by case."""

    def __init__(self) -> None:
        self.cases: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.cases |= {report.nodeid, report.nodeid.partition("[")[0]}


def main() -> int:
    """Run every case and write the page; 1 where one differs."""
    failures = _Failures()
    nodes = sorted({row.node for rows in STEPS.values() for row in rows if not row.gap})
    outcome = pytest.main(["-q", *nodes], plugins=[failures])
    PAGE.write_text(render(failures.cases), encoding="utf-8")
    print(f"wrote {PAGE.name}")  # noqa: T201 - a command
    return int(outcome)


if __name__ == "__main__":
    sys.exit(main())
