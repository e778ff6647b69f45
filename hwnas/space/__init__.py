"""Search spaces and architectures as data: OneOf, SearchSpace, Architecture."""

from hwnas.space.architecture import MOST_BLOCKS as MOST_BLOCKS
from hwnas.space.architecture import MOST_PARAMS as MOST_PARAMS
from hwnas.space.architecture import Architecture as Architecture
from hwnas.space.decisions import OneOf as OneOf
from hwnas.space.search_space import SearchSpace as SearchSpace
from hwnas.space.search_space import check_space as check_space
