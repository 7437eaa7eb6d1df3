# In: id,country,amount per line. Out: country, orders, sum.
{ orders[$2]++; sum[$2] += $3 }
END { for (country in sum) printf "%-4s %6d %12.2f\n", country, orders[country], sum[country] }
