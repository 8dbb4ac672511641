"""A data set of triplets from whole shows.

planning          which videos; whether the folder may take them
preparing         one video: its triplets, by `_databacks.extraction`
workers           many videos at once: processes, or a cluster
near_duplicates   which triplets repeat another one
assembly          numbers and index
report            a page to judge it by
making            all of this in order
"""
